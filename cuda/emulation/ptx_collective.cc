// What the lanes of a warp do together: shuffles, votes, matrices. Before these run, the lanes of their mask
// have met.
#include "ptx_lanes.h"

namespace ptx {

namespace {

using std::uint16_t;
using std::uint32_t;

// ---- operands result, predicate (may be absent), value, lane or delta, bounds, mask

enum Shuffle : std::uint8_t { kIndex, kButterfly, kDown, kUp };

void shuffle(Warp& warp, const Instruction& instruction, Mask active) {
  const uint32_t* value = warp.lanes<uint32_t>(instruction[2]);
  const uint32_t *by = warp.lanes<uint32_t>(instruction[3]), *bounds = warp.lanes<uint32_t>(instruction[4]);
  uint32_t result[kLanes] = {};
  Mask inside = 0;
  for_each_lane(active, [&](int lane) {
    const int segment = int(bounds[lane] >> 8 & 31), clamp = int(bounds[lane] & 31), b = int(by[lane] & 31);
    const int first = lane & segment, last = first | (clamp & ~segment);
    int source = lane;
    bool valid = false;
    switch (instruction.variant) {
      case kIndex:
        source = first | (b & ~segment);
        break;
      case kButterfly:
        source = lane ^ b;
        break;
      case kDown:
        source = lane + b;
        break;
      case kUp:
        source = lane - b;
        break;
    }
    valid = instruction.variant == kUp ? source >= last : source <= last;
    if (!valid) source = lane;
    if (!(active >> source & 1))
      throw Error("lane " + std::to_string(lane) + " reads lane " + std::to_string(source) +
                  ", which takes no part");
    result[lane] = value[source];
    inside |= Mask(valid) << lane;
  });
  warp.store(instruction[0], result, active);
  if (instruction[1].present) warp.set_predicate(instruction[1], inside, active);
}

Handler find_shuffle(const Opcode& opcode, Instruction& instruction) {
  instruction.flow = Flow::meet;
  instruction.membermask = 5;
  instruction.variant = opcode.has("idx")    ? kIndex
                        : opcode.has("bfly") ? kButterfly
                        : opcode.has("down") ? kDown
                                             : kUp;
  return opcode.types.back() == "b32" ? shuffle : nullptr;
}

// ---- operands result, predicate, mask

enum Vote : std::uint8_t { kAll, kAny, kUniform, kBallot };

void vote(Warp& warp, const Instruction& instruction, Mask active) {
  const Mask yes = warp.predicate(instruction[1]) & active;
  if (instruction.variant == kBallot) {
    for_each_lane(active, [&](int lane) { warp.lanes<uint32_t>(instruction[0])[lane] = yes; });
    return;
  }
  const bool all = yes == active, any = yes != 0;
  const bool holds = instruction.variant == kAll ? all : instruction.variant == kAny ? any : all || !any;
  warp.set_predicate(instruction[0], holds ? kAllLanes : 0, active);
}

Handler find_vote(const Opcode& opcode, Instruction& instruction) {
  instruction.flow = Flow::meet;
  instruction.membermask = 2;
  instruction.variant = opcode.has("all")   ? kAll
                        : opcode.has("any") ? kAny
                        : opcode.has("uni") ? kUniform
                                            : kBallot;
  return vote;
}

void active_mask(Warp& warp, const Instruction& instruction, Mask active) {
  for_each_lane(active, [&](int lane) { warp.lanes<uint32_t>(instruction[0])[lane] = active; });
}

Handler find_active_mask(const Opcode&, Instruction&) { return active_mask; }

// Which lanes have the same value: operands result, predicate (of `all`), value, mask.
void match(Warp& warp, const Instruction& instruction, Mask active) {
  bool same = true;
  Mask equal[kLanes] = {};
  for_each_lane(active, [&](int lane) {
    for_each_lane(active, [&](int other) {
      equal[lane] |= Mask(warp.get(instruction[2], lane) == warp.get(instruction[2], other)) << other;
    });
    same = same && equal[lane] == active;
  });
  for_each_lane(active, [&](int lane) {
    warp.lanes<uint32_t>(instruction[0])[lane] = instruction.variant == kAny ? equal[lane]
                                                 : same                      ? active
                                                                             : 0;
  });
  if (instruction[1].present) warp.set_predicate(instruction[1], same ? kAllLanes : 0, active);
}

Handler find_match(const Opcode& opcode, Instruction& instruction) {
  instruction.flow = Flow::meet;
  instruction.membermask = 3;
  instruction.variant = opcode.has("any") ? kAny : kAll;
  return match;
}

void meet(Warp&, const Instruction&, Mask) {}

Handler find_meeting(const Opcode&, Instruction& instruction) {
  instruction.flow = Flow::meet;
  instruction.membermask = 0;
  return meet;
}

// ---- ldmatrix: operands are one register a matrix, and the address

// Lane l gives the address of row l % 8 of matrix l / 8, and gets elements 2 (l % 4) and 2 (l % 4) + 1 of row
// l / 4 of each; of the transposed matrix if kTransposed.
template <bool kTransposed>
void load_matrix(Warp& warp, const Instruction& instruction, Mask) {
  const int count = instruction.vector;
  uint16_t rows[kLanes][8];
  for (int lane = 0; lane < 8 * count; ++lane) {
    const char* row =
        resolve(warp, instruction.space, warp.address(instruction[count], lane), sizeof rows[0], lane);
    std::memcpy(rows[lane], row, sizeof rows[0]);
  }
  for (int matrix = 0; matrix < count; ++matrix) {
    uint32_t* result = warp.lanes<uint32_t>(instruction[matrix]);
    for (int lane = 0; lane < kLanes; ++lane) {
      const int row = lane / 4, column = lane % 4 * 2;
      const uint16_t(&m)[kLanes][8] = rows;
      const int base = 8 * matrix;
      const uint32_t low = kTransposed ? m[base + column][row] : m[base + row][column];
      const uint32_t high = kTransposed ? m[base + column + 1][row] : m[base + row][column + 1];
      result[lane] = low | high << 16;
    }
  }
}

Handler find_load_matrix(const Opcode& opcode, Instruction& instruction) {
  instruction.flow = Flow::meet;
  instruction.space = opcode.has("shared") || opcode.has("shared::cta") ? Space::shared : Space::generic;
  const int count = opcode.has("x4") ? 4 : opcode.has("x2") ? 2 : 1;
  if (count != instruction.vector || opcode.types.back() != "b16") return nullptr;
  return opcode.has("trans") ? load_matrix<true> : load_matrix<false>;
}

// ---- mma: operands d[4], a[4], b[2], c[4]. With g = lane / 4 and t = lane % 4, lane has of c and d (g + 8
// i, 2 t + j).

constexpr int kM = 16, kN = 8;

template <int kK>
void multiply_add(Warp& warp, const Instruction& instruction, const float (&a)[kM][kK],
                  const float (&b)[kK][kN]) {
  float c[kM][kN];
  for (int i = 0; i < 4; ++i) {
    const float* from = warp.lanes<float>(instruction[10 + i]);
    for (int lane = 0; lane < kLanes; ++lane) c[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2] = from[lane];
  }
  for (int m = 0; m < kM; ++m) {
    for (int k = 0; k < kK; ++k) {
      for (int n = 0; n < kN; ++n) c[m][n] += a[m][k] * b[k][n];
    }
  }
  for (int i = 0; i < 4; ++i) {
    float* to = warp.lanes<float>(instruction[i]);
    for (int lane = 0; lane < kLanes; ++lane) to[lane] = c[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
  }
}

// Register i of a has rows g + 8 (i % 2), columns 2 t + 8 (i / 2) + {0, 1}; register i of b the rows 2 t + 8
// i + {0, 1} of column g.
void multiply_bf16(Warp& warp, const Instruction& instruction, Mask) {
  constexpr int kK = 16;
  float a[kM][kK], b[kK][kN];
  const auto half = [](uint32_t pair, int which) {
    return bits_as<float>(which ? pair & 0xffff0000u : pair << 16);
  };
  for (int i = 0; i < 4; ++i) {
    const uint32_t* from = warp.lanes<uint32_t>(instruction[4 + i]);
    for (int lane = 0; lane < kLanes; ++lane) {
      float* to = &a[lane / 4 + i % 2 * 8][lane % 4 * 2 + i / 2 * 8];
      to[0] = half(from[lane], 0), to[1] = half(from[lane], 1);
    }
  }
  for (int i = 0; i < 2; ++i) {
    const uint32_t* from = warp.lanes<uint32_t>(instruction[8 + i]);
    for (int lane = 0; lane < kLanes; ++lane) {
      const int k = lane % 4 * 2 + i * 8, n = lane / 4;
      b[k][n] = half(from[lane], 0), b[k + 1][n] = half(from[lane], 1);
    }
  }
  multiply_add<kK>(warp, instruction, a, b);
}

// Register i of a has row g + 8 (i % 2), column t + 4 (i / 2); register i of b row t + 4 i of column g. The
// tensor cores ignore the low 13 bits.
void multiply_tf32(Warp& warp, const Instruction& instruction, Mask) {
  constexpr int kK = 8;
  float a[kM][kK], b[kK][kN];
  const auto number = [](uint32_t bits) { return bits_as<float>(bits & 0xffffe000u); };
  for (int i = 0; i < 4; ++i) {
    const uint32_t* from = warp.lanes<uint32_t>(instruction[4 + i]);
    for (int lane = 0; lane < kLanes; ++lane)
      a[lane / 4 + i % 2 * 8][lane % 4 + i / 2 * 4] = number(from[lane]);
  }
  for (int i = 0; i < 2; ++i) {
    const uint32_t* from = warp.lanes<uint32_t>(instruction[8 + i]);
    for (int lane = 0; lane < kLanes; ++lane) b[lane % 4 + i * 4][lane / 4] = number(from[lane]);
  }
  multiply_add<kK>(warp, instruction, a, b);
}

Handler find_multiply(const Opcode& opcode, Instruction& instruction) {
  instruction.flow = Flow::meet;
  const std::vector<std::string> bf16 = {"f32", "bf16", "bf16", "f32"}, tf32 = {"f32", "tf32", "tf32", "f32"};
  if (opcode.has("m16n8k16") && opcode.types == bf16) return multiply_bf16;
  if (opcode.has("m16n8k8") && opcode.types == tf32) return multiply_tf32;
  return nullptr;
}

const OpcodeEntry kTable[] = {
    {"shfl", " sync idx bfly down up ", find_shuffle},
    {"vote", " sync all any uni ballot ", find_vote},
    {"activemask", "", find_active_mask},
    {"match", " sync any all ", find_match},
    {"bar", " warp sync ", find_meeting},
    {"ldmatrix", " sync aligned m8n8 x1 x2 x4 trans shared shared::cta ", find_load_matrix},
    {"mma", " sync aligned m16n8k16 m16n8k8 row col ", find_multiply},
};

}  // namespace

Handler find_collective(const Opcode& opcode, Instruction& instruction) {
  return find_in(kTable, opcode, instruction);
}

}  // namespace ptx
