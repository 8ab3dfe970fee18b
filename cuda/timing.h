// When the work of a stream was done: events, whose times are read when the stream has been waited for.
#pragma once
#include <string>
#include <vector>

#include "rt.h"

namespace cuda {

class Timing {
 public:
  ~Timing();
  // Sets *when, in milliseconds of the clock of recorder.h, once the work so far is done; now or in resolve().
  std::string note(double* when, rt::Stream stream);
  // To be called when the stream has been waited for.
  std::string resolve();

 private:
  struct Note {
    double* when;
    rt::Event event;
  };
  static constexpr std::size_t kMostNotes = 4096;

  std::string take(rt::Event* event);

  std::vector<Note> notes_;
  std::vector<rt::Event> unused_;
  rt::Event origin_{};  // recorded at origin_ms_, when the stream had nothing to do
  double origin_ms_ = 0;
};

}  // namespace cuda
