// A step as a CUDA graph: what is launched in it is recorded and then launched as one. A step with the
// launches of an earlier one takes over its executable graph, whose arguments are updated; anything else
// makes a new graph.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "../native/device_module.h"
#include "rt.h"

namespace cuda {

class StepGraph {
 public:
  ~StepGraph();
  bool is_recording() const { return is_recording_; }
  std::string begin(rt::Stream stream);
  // Ends the recording and launches it. `launches` identifies the sequence of what was recorded.
  std::string launch(rt::Stream stream, std::uint64_t launches);
  // Asked for by another thread.
  std::atomic<Index> replayed{0}, recorded{0};

 private:
  struct Known {
    std::uint64_t launches;
    rt::Graph graph;
  };
  static constexpr std::size_t kKept = 8;
  std::vector<Known> known_;  // the last used at the end
  bool is_recording_ = false;
};

}  // namespace cuda
