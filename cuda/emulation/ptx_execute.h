// Runs a decoded kernel, block by block.
#pragma once
#include "ptx_machine.h"

namespace ptx {

class Executor {
 public:
  explicit Executor(const Launch& launch);
  // Throws Error.
  void run_block(Size3 index);

 private:
  void start(Warp& warp, Mask lanes);
  void fill_specials(Warp& warp, const Function& function);
  void run(Warp& warp, const Function& function, std::vector<Group>& groups);
  void run_group(Warp& warp, const Function& function, std::vector<Group>& groups, std::size_t which);
  void call(Warp& warp, const Function& caller, const Instruction& instruction, Mask active);
  std::string describe(const Function& function, const Instruction& instruction, const Warp& warp) const;

  const Launch& launch_;
  Block block_;
  std::vector<std::unique_ptr<Warp>> warps_;
};

}  // namespace ptx
