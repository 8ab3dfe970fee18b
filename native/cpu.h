// Which kernel tables this processor can run.
#pragma once
#include <vector>

#include "contract.h"

struct Isa {
  const char* name;
  bool supported;                  // by the processor and the operating system
  bool preferred;                  // to all before it, where supported
  const KernelTable* f32;
  const KernelTable* bf16;
};

// From the most portable to the fastest, those of this build.
const std::vector<Isa>& isas();
