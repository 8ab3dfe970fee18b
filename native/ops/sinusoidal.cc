// Sinusoidal positions (Vaswani et al. 2017, section 3.5), of T tokens from `start` on.
//
//   y [T, C]
//
//   y[t][2i]     = sin((start + t) / 10000^(2i / C))
//   y[t][2i + 1] = cos((start + t) / 10000^(2i / C))
//
// In double: an angle of some thousand turns has no digits left in f32.
#include "kernel.h"

namespace ISA {

void sinusoidal_forward(Out y, Index start) {
  const Index T = y.size[0], C = y.size[1], waves = ceil_div(C, 2);
  constexpr Index kWaves = 16;
  parallel(ceil_div(waves, kWaves), [&](Index chunk) {
    for (Index i = chunk * kWaves; i < min(waves, (chunk + 1) * kWaves); ++i) {
      const double length = __builtin_pow(10000, double(2 * i) / double(C));
      for (Index t = 0; t < T; ++t) {
        const double angle = double(start + t) / length;
        assign(*y.at(t, 2 * i), float(__builtin_sin(angle)));
        if (2 * i + 1 < C) assign(*y.at(t, 2 * i + 1), float(__builtin_cos(angle)));
      }
    }
  });
}

}  // namespace ISA
