// Sinusoidal positions (Vaswani et al. 2017, section 3.5), of T tokens from `start` on.
//
//   y [T, C]
//
//   y[t][2i]     = sin((start + t) / 10000^(2i / C))
//   y[t][2i + 1] = cos((start + t) / 10000^(2i / C))
//
// Turns are counted in f64: of some thousand of them f32 leaves no digits of the angle.
#include "../axes.h"
#include "../floats.h"
#include "../turns.h"

namespace TABLE {

// 2ˣ, −60 < x ≤ 0: Taylor's series of e^(f ln 2), |f| ≤ ½, and a shift.
PRIMITIVE double power_of_two(double x) {
  const double whole = floor(x + 0.5), f = (x - whole) * 0.693147180559945309417;
  double series = 1;
  UNROLL
  for (int k = 14; k > 0; --k) series = fma(series, f * (1. / k), 1.);
  return series / static_cast<double>(Index{1} << static_cast<int>(-whole));
}

__global__ void sinusoidal_waves(Out y, Index start) {
  const Index T = y.size[0], C = y.size[1], waves = ceil_div(C, 2);
  Index t, i;
  cuda::row_grid_place(waves, &t, &i);
  if (t >= T || i >= waves) return;
  constexpr double kLog2Of10000 = 13.28771237954945, kQuartersPerRadian = 0.636619772367581343;
  const double length = power_of_two(-kLog2Of10000 * static_cast<double>(2 * i) / static_cast<double>(C));
  const double quarters = static_cast<double>(start + t) * length * kQuartersPerRadian,
               whole = floor(quarters + 0.5);
  const auto quarter = static_cast<int>(static_cast<Index>(whole) & 3);
  const auto angle = static_cast<float>((quarters - whole) * 1.57079632679489662);
  const cuda::Direction towards = cuda::direction_of(quarter, angle);
  Real* const y_t = y.at(t) + 2 * i;
  y_t[0] = to<Real>(towards.sine);
  if (2 * i + 1 < C) y_t[1] = to<Real>(towards.cosine);
}

void sinusoidal_forward(Out y, Index start) {
  const cuda::RowGrid cover(y.size[0], ceil_div(y.size[1], 2));
  launch(sinusoidal_waves, cover.grid, cover.block, 0, y, start);
}

}  // namespace TABLE
