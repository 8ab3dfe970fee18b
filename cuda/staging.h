// Copies between host and device that go through pinned memory.
//
// What comes from the host crosses the bus on a stream of its own, into device memory that belongs to this
// ring, while kernels run; the compute stream then waits for it and puts it into place, in its own order.
#pragma once
#include <string>

#include "rt.h"

namespace cuda {

class Staging {
 public:
  ~Staging();
  std::string create();
  // `from` may go when it returns. `captured`: the compute stream is recording a graph, which must not wait
  // for another stream; launched() must follow once the graph was launched.
  std::string write(void* to, const void* from, std::size_t bytes, rt::Stream compute, bool captured);
  std::string launched(rt::Stream compute);
  // How many bytes write() can still take before launched().
  std::size_t capacity() const { return (kSlots - captured_) * kBytes; }
  // Done when it returns.
  std::string read(void* to, const void* from, std::size_t bytes, rt::Stream compute);

 private:
  static constexpr unsigned kSlots = 4;
  static constexpr std::size_t kBytes = std::size_t{4} << 20;
  struct Slot {
    char* pinned = nullptr;
    char* device = nullptr;
    rt::Event arrived{}, consumed{};
    bool is_used = false;  // consumed was recorded
  };
  std::string stage(Slot& slot, const char* from, std::size_t bytes);

  rt::Stream copies_{};
  Slot slots_[kSlots];
  unsigned next_ = 0;
  unsigned captured_ = 0;  // slots before next_ whose bytes a graph will consume
};

}  // namespace cuda
