// For functions that return what went wrong, or an empty string.
#pragma once
#include <string>

#define TRY(expression)                                                    \
  do {                                                                     \
    if (std::string error_ = (expression); !error_.empty()) return error_; \
  } while (false)
