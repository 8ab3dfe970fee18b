#include "ptx_execute.h"

#include <algorithm>

namespace ptx {

namespace {

// Lanes that are at the same instruction go on as one; of those that may, the ones that are furthest behind
// go first. Returns the place of that group, or -1.
int merge_and_choose(std::vector<Group>& groups) {
  for (std::size_t i = 0; i < groups.size(); ++i) {
    for (std::size_t j = groups.size() - 1; j > i; --j) {
      const bool waiting = groups[i].state == Group::at_barrier, other = groups[j].state == Group::at_barrier;
      if (groups[i].pc != groups[j].pc || waiting != other) continue;
      groups[i].lanes |= groups[j].lanes;
      if (!waiting) groups[i].state = Group::ready;
      groups.erase(groups.begin() + std::ptrdiff_t(j));
    }
  }
  int chosen = -1;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (groups[i].state == Group::ready && (chosen < 0 || groups[i].pc < groups[std::size_t(chosen)].pc))
      chosen = int(i);
  }
  return chosen;
}

}  // namespace

Executor::Executor(const Launch& launch) : launch_(launch) {
  block_.launch = &launch;
  block_.shared.resize(launch.shared_bytes);
  std::size_t local_bytes = 0;
  for (const auto& [name, function] : launch.module->functions) {
    if (function.get() == launch.kernel || !function->is_entry)
      local_bytes += (function->local_bytes + 15) / 16 * 16;
  }
  const std::size_t threads = launch.block.count();
  for (std::uint32_t i = 0; i * kLanes < threads; ++i) {
    auto warp = std::make_unique<Warp>();
    warp->block = &block_;
    warp->index = i;
    warp->frame = launch.kernel->registers;
    warp->local_bytes = local_bytes;
    warp->local.resize(local_bytes * kLanes);
    warps_.push_back(std::move(warp));
  }
  if (launch.reversed) std::reverse(warps_.begin(), warps_.end());
}

void Executor::fill_specials(Warp& warp, const Function& function) {
  const Size3 n = launch_.block;
  for (const Special& special : function.specials) {
    const Operand operand{special.at, std::uint8_t(special.bytes), true, 0};
    for (int lane = 0; lane < kLanes; ++lane) {
      const std::uint32_t thread = warp.index * kLanes + std::uint32_t(lane), bit = std::uint32_t{1} << lane;
      const std::uint64_t values[] = {thread % n.x,
                                      thread / n.x % n.y,
                                      thread / n.x / n.y,  // tid
                                      n.x,
                                      n.y,
                                      n.z,  // ntid
                                      block_.index.x,
                                      block_.index.y,
                                      block_.index.z,  // ctaid
                                      launch_.grid.x,
                                      launch_.grid.y,
                                      launch_.grid.z,  // nctaid
                                      std::uint64_t(lane),
                                      warp.index,  // laneid, warpid
                                      bit,
                                      bit - 1,
                                      bit | (bit - 1),
                                      ~(bit | (bit - 1)),
                                      ~(bit - 1),  // lanemask eq, lt, le, gt, ge
                                      launch_.shared_bytes,
                                      warp.local_start};
      warp.set(operand, lane, values[special.which] + special.add);
    }
  }
}

void Executor::start(Warp& warp, Mask lanes) {
  warp.registers = warp.frame.data();
  warp.live = lanes;
  warp.local_start = 0;
  warp.groups.assign(1, {0, lanes, Group::ready});
  std::fill(warp.local.begin(), warp.local.end(), char(0xff));
  for (LaneCopies& copies : warp.copies) copies = {};
  fill_specials(warp, *launch_.kernel);
}

void Executor::run_block(Size3 index) {
  block_.index = index;
  std::fill(block_.shared.begin(), block_.shared.end(), char(0xff));
  const std::size_t threads = launch_.block.count();
  for (auto& warp : warps_) {
    const std::size_t lanes = std::min<std::size_t>(kLanes, threads - warp->index * kLanes);
    start(*warp, lanes == kLanes ? kAllLanes : (Mask{1} << lanes) - 1);
  }
  for (bool alive = true; alive;) {
    alive = false;
    for (auto& warp : warps_) {
      if (warp->live) run(*warp, *launch_.kernel, warp->groups);
      alive = alive || warp->live;
    }
    for (auto& warp : warps_) {
      for (Group& group : warp->groups) group.state = Group::ready;  // all have arrived
    }
  }
}

// Until every lane has left the function or waits at a barrier.
void Executor::run(Warp& warp, const Function& function, std::vector<Group>& groups) {
  for (;;) {
    const int chosen = merge_and_choose(groups);
    if (chosen >= 0) {
      run_group(warp, function, groups, std::size_t(chosen));
      continue;
    }
    for (const Group& group : groups) {
      if (group.state == Group::meeting)
        throw Error(describe(function, function.code[group.pc], warp) +
                    ": lanes of the mask never come here");
    }
    return;
  }
}

// Runs the group until it ends, waits, or another one may have to go first.
void Executor::run_group(Warp& warp, const Function& function, std::vector<Group>& groups,
                         std::size_t which) {
  const Mask lanes = groups[which].lanes;
  std::uint32_t pc = groups[which].pc;
  std::uint32_t limit = ~0u;  // the next group's place
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (i == which || groups[i].state == Group::at_barrier) continue;
    limit = std::min(limit, groups[i].state == Group::meeting ? 0 : groups[i].pc);
  }
  const Instruction* const code = function.code.data();
  do {
    const Instruction& instruction = code[pc];
    Mask active = lanes;
    if (instruction.guarded) {
      Mask guard;
      std::memcpy(&guard, warp.registers + instruction.guard, sizeof guard);
      active &= instruction.guard_negated ? ~guard : guard;
      if (!active) {
        ++pc;
        continue;
      }
    }
    try {
      switch (instruction.flow) {
        case Flow::next:
          instruction.run(warp, instruction, active);
          ++pc;
          break;
        case Flow::branch:
          if (active == lanes) {
            pc = instruction.target;
          } else {
            groups[which].pc = pc + 1;
            groups[which].lanes = lanes & ~active;
            groups.push_back({instruction.target, active, Group::ready});
            return;
          }
          break;
        case Flow::indexed_branch: {
          groups.erase(groups.begin() + std::ptrdiff_t(which));
          if (lanes & ~active) groups.push_back({pc + 1, lanes & ~active, Group::ready});
          const std::vector<std::uint32_t>& table = function.jump_tables[instruction.target];
          for_each_lane(active, [&](int lane) {
            groups.push_back({table.at(warp.get(instruction[0], lane)), Mask{1} << lane, Group::ready});
          });
          return;
        }
        case Flow::call:
          call(warp, function, instruction, active);
          ++pc;
          break;
        case Flow::leave:
          if (function.is_entry) warp.live &= ~active;
          if (active == lanes) {
            groups.erase(groups.begin() + std::ptrdiff_t(which));
            return;
          }
          groups[which].pc = pc + 1;
          groups[which].lanes = lanes & ~active;
          return;
        case Flow::barrier:
          groups[which].pc = pc + 1;
          groups[which].lanes = active;
          groups[which].state = Group::at_barrier;
          if (lanes & ~active) groups.push_back({pc + 1, lanes & ~active, Group::ready});
          return;
        case Flow::meet: {
          Mask expected = instruction.membermask < 0 ? kAllLanes : 0;
          if (!expected) {
            const std::uint32_t* masks = warp.lanes<std::uint32_t>(instruction[instruction.membermask]);
            for_each_lane(active, [&](int lane) { expected |= masks[lane]; });
          }
          if (expected & ~active) {
            if (expected & ~warp.live) throw Error("lanes of the mask have ended");
            groups[which].pc = pc;
            groups[which].state = Group::meeting;
            return;
          }
          instruction.run(warp, instruction, active);
          ++pc;
          break;
        }
      }
    } catch (const Error& error) {
      throw Error(describe(function, instruction, warp) + ": " + error.what());
    }
  } while (pc < limit);
  groups[which].pc = pc;
}

// The callee has registers of its own and runs to its end.
void Executor::call(Warp& warp, const Function& caller, const Instruction& instruction, Mask active) {
  const CallSite& site = caller.calls[instruction.target];
  const auto found = launch_.module->functions.find(site.callee);
  if (found == launch_.module->functions.end()) throw Error("no function " + site.callee);
  const Function& callee = *found->second;
  char* const registers = warp.registers;
  std::vector<char> frame = callee.registers;
  const auto move = [&](const std::vector<Slot>& to, char* to_base, const std::vector<Slot>& from,
                        char* from_base) {
    if (to.size() != from.size()) throw Error("another number of parameters than " + callee.name + " has");
    for (std::size_t i = 0; i < to.size(); ++i) {
      if (to[i].bytes != from[i].bytes)
        throw Error("a parameter of another size than that of " + callee.name);
      for_each_lane(active, [&](int lane) {
        const std::size_t offset = std::size_t(lane) * to[i].bytes;
        std::memcpy(to_base + to[i].at + offset, from_base + from[i].at + offset, to[i].bytes);
      });
    }
  };
  move(callee.parameters, frame.data(), site.arguments, registers);
  const std::size_t local_bytes = (caller.local_bytes + 15) / 16 * 16;
  warp.registers = frame.data();
  warp.local_start += local_bytes;
  fill_specials(warp, callee);
  std::vector<Group> groups{{0, active, Group::ready}};
  run(warp, callee, groups);
  warp.registers = registers;
  warp.local_start -= local_bytes;
  move(site.results, registers, callee.results, frame.data());
}

std::string Executor::describe(const Function& function, const Instruction& instruction,
                               const Warp& warp) const {
  const std::string& text = function.text[std::size_t(&instruction - function.code.data())];
  return function.file + ":" + std::to_string(instruction.line) + " (block " +
         std::to_string(block_.index.x) + " " + std::to_string(block_.index.y) + " " +
         std::to_string(block_.index.z) + ", warp " + std::to_string(warp.index) + "): " + text;
}

}  // namespace ptx
