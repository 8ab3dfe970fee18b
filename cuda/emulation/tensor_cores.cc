// The matrix instructions of a warp. Sums are rounded after each product, k ascending; the hardware sums in
// another order.
#include <cstring>

#include "collectives.h"
#include "meet.h"

namespace emulation {

namespace {

constexpr char kLoadMatrix[] = "load_matrix4", kLoadMatrixTransposed[] = "load_matrix4_transposed",
               kMmaBf16[] = "mma_bf16", kMmaTf32[] = "mma_tf32";

}  // namespace

void load_matrix4(MatrixLoad* lane, bool transposed) {
  const void* pc = CALLER;
  require_shared(lane->row, 16, kLoadMatrix, pc);
  if (checking) check_access(lane->row, 16, Access::read, pc);
  if (!transposed) {
    meet(kAllLanes, kLoadMatrix, pc, lane, [](Warp* warp) {
      auto lanes = reinterpret_cast<MatrixLoad**>(warp->arguments);
      for (unsigned l = 0; l < kLanes; l++) {
        for (unsigned i = 0; i < 4; i++) {
          const char* row = static_cast<const char*>(lanes[i * 8 + l / 4]->row);
          std::memcpy(&lanes[l]->result[i], row + l % 4 * 4, 4);
        }
      }
    });
    return;
  }
  meet(kAllLanes, kLoadMatrixTransposed, pc, lane, [](Warp* warp) {
    auto lanes = reinterpret_cast<MatrixLoad**>(warp->arguments);
    std::uint16_t m[4][8][8];
    for (unsigned l = 0; l < kLanes; l++) std::memcpy(m[l / 8][l % 8], lanes[l]->row, 16);
    for (unsigned l = 0; l < kLanes; l++) {
      for (unsigned i = 0; i < 4; i++) {
        const unsigned row = l % 4 * 2, column = l / 4;
        lanes[l]->result[i] = m[i][row][column] | std::uint32_t{m[i][row + 1][column]} << 16;
      }
    }
  });
}

namespace {

typedef float Floats __attribute__((vector_size(32)));
typedef std::uint32_t Words __attribute__((vector_size(32)));

// The registers of all lanes as matrices: `a` [16, 8 words], `b` [8 words, 8], c [16, 8].
struct Fragments {
  std::uint32_t a[16][8];
  Words b[8];
  Floats c[16];

  explicit Fragments(MatrixProduct** lanes) {
    for (unsigned l = 0; l < kLanes; l++) {
      const MatrixProduct& lane = *lanes[l];
      const unsigned row = l / 4, column = l % 4;
      a[row][column] = lane.a[0];
      a[row + 8][column] = lane.a[1];
      a[row][column + 4] = lane.a[2];
      a[row + 8][column + 4] = lane.a[3];
      b[column][row] = lane.b[0];
      b[column + 4][row] = lane.b[1];
      std::memcpy(reinterpret_cast<float*>(&c[row]) + column * 2, lane.c, 8);
      std::memcpy(reinterpret_cast<float*>(&c[row + 8]) + column * 2, lane.c + 2, 8);
    }
  }
  void store(MatrixProduct** lanes) const {
    for (unsigned l = 0; l < kLanes; l++) {
      const unsigned row = l / 4, column = l % 4;
      std::memcpy(lanes[l]->c, reinterpret_cast<const float*>(&c[row]) + column * 2, 8);
      std::memcpy(lanes[l]->c + 2, reinterpret_cast<const float*>(&c[row + 8]) + column * 2, 8);
    }
  }
};

inline float as_float(std::uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

constexpr int kRows = 4;  // at a time: their sums stay in registers

}  // namespace

void mma_bf16(MatrixProduct* lane) {
  meet(kAllLanes, kMmaBf16, CALLER, lane, [](Warp* warp) {
    auto lanes = reinterpret_cast<MatrixProduct**>(warp->arguments);
    Fragments m(lanes);
    constexpr std::uint32_t kHigh = 0xffff0000u;  // of the two bf16 of a word; the low one comes first
    Floats low[8], high[8];
    for (int k = 0; k < 8; k++) {
      low[k] = reinterpret_cast<Floats>(m.b[k] << 16);
      high[k] = reinterpret_cast<Floats>(m.b[k] & kHigh);
    }
    for (int i = 0; i < 16; i += kRows) {
      Floats sum[kRows];
      for (int r = 0; r < kRows; r++) sum[r] = m.c[i + r];
      for (int k = 0; k < 8; k++) {
        for (int r = 0; r < kRows; r++) {
          const std::uint32_t a = m.a[i + r][k];
          sum[r] += as_float(a << 16) * low[k];
          sum[r] += as_float(a & kHigh) * high[k];
        }
      }
      for (int r = 0; r < kRows; r++) m.c[i + r] = sum[r];
    }
    m.store(lanes);
  });
}

void mma_tf32(MatrixProduct* lane) {
  meet(kAllLanes, kMmaTf32, CALLER, lane, [](Warp* warp) {
    auto lanes = reinterpret_cast<MatrixProduct**>(warp->arguments);
    Fragments m(lanes);
    constexpr std::uint32_t kTf32 = 0xffffe000u;  // what the tensor core sees of an f32
    Floats b[8];
    for (int k = 0; k < 8; k++) b[k] = reinterpret_cast<Floats>(m.b[k] & kTf32);
    for (int i = 0; i < 16; i += kRows) {
      Floats sum[kRows];
      for (int r = 0; r < kRows; r++) sum[r] = m.c[i + r];
      for (int k = 0; k < 8; k++) {
        for (int r = 0; r < kRows; r++) sum[r] += as_float(m.a[i + r][k] & kTf32) * b[k];
      }
      for (int r = 0; r < kRows; r++) m.c[i + r] = sum[r];
    }
    m.store(lanes);
  });
}

}  // namespace emulation
