// Prints the largest error, in units in the last place, of the elementary functions of native/simd.h on lanes and on
// one lane, over floats of every exponent; results below 2⁻¹²⁶ are measured in the smallest unit of normal numbers.
#include <cmath>
#include <cstdio>
#include <cstring>

#include "simd.h"

using namespace ISA;

double ulps(float got, double exact) {
  if (std::fabs(exact) > 3.4028234e38) return std::isinf(got) ? 0 : 1e9;
  int exponent;
  std::frexp(exact, &exponent);
  return std::fabs(got - exact) / std::ldexp(1.0, (exponent < -125 ? -125 : exponent) - 24);
}

template <class F, class G>
void measure(const char* name, double low, double high, const F& f, const G& exact) {
  double worst = 0;
  const auto see = [&](double error) {
    if (!(error <= worst)) worst = error;  // NaN counts
  };
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 61 * kLanes) {
    float x[kLanes], y[kLanes];
    for (int k = 0; k < kLanes; ++k) {
      const std::uint32_t word = std::uint32_t(bits + 61 * k);
      std::memcpy(&x[k], &word, 4);
      if (!(x[k] >= low && x[k] <= high)) x[k] = 1;
    }
    store<kLanes>(y, f(load<kLanes>(x)));
    for (int k = 0; k < kLanes; ++k) see(ulps(y[k], exact(double(x[k]))));
    see(ulps(f(Vec<1>{x[0]})[0], exact(double(x[0]))));
  }
  std::printf("%s %.3f\n", name, worst);
}

int main() {
  measure("exp", -104, 89, [](auto x) { return exp<sizeof x / 4>(x); }, [](double x) { return std::exp(x); });
  measure("reciprocal", 1e-37, 1e37, [](auto x) { return reciprocal<sizeof x / 4>(x); }, [](double x) { return 1 / x; });
}
