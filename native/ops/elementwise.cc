// Sum, difference, product and scaling, element by element.
//
//   a, b, y [I, J, K, C]    an axis along which a or b has stride 0 is broadcast    x, y [N]
//
//   add            y = a + b
//   sub            y = a − b
//   mul            y = a · b
//   scale          y = x · factor
//
// y may be a or b itself.
#include "kernel.h"
#include "ops/axes.h"

namespace ISA {

namespace {

// Rows along which y is dense, and a and b are dense or stay where they are.
template <class F>
void zip(In a, In b, Out y, const F& f) {
  const Axes<3> axes = joined<3>({a, b, y});
  if (axes.count() == 0) return;
  const int last = axes.rank - 1;
  const auto step = [&](int k) { return last < 0 ? 1 : axes.stride[k][last]; };
  const bool is_row = last >= 0 && step(2) == 1 && (step(0) == 0 || step(0) == 1) && (step(1) == 0 || step(1) == 1);
  const bool moves_a = !is_row || step(0) == 1, moves_b = !is_row || step(1) == 1;
  const Axes<3> rows = is_row ? axes.without(last) : axes;
  const bool past = y.data != a.data && y.data != b.data && streams(y.at(), axes.count(), rows.strides_of(2));
  parallel_walk(rows, is_row ? axes.size[last] : 1, [&](Index begin, Index end, Index at_a, Index at_b, Index at_y) {
    const Row<const Real> a_n{a.at() + at_a}, b_n{b.at() + at_b};
    const Row<Real> y_n{y.at() + at_y};
    if (moves_a && moves_b) {
      each(begin, end, [&](auto i) { y_n.set(i, f(a_n[i], b_n[i]), past); });
    } else if (moves_a) {
      const float b_0 = to_float(*b_n.p);
      each(begin, end, [&](auto i) { y_n.set(i, f(a_n[i], splat<i.lanes>(b_0)), past); });
    } else if (moves_b) {
      const float a_0 = to_float(*a_n.p);
      each(begin, end, [&](auto i) { y_n.set(i, f(splat<i.lanes>(a_0), b_n[i]), past); });
    } else {
      const float a_0 = to_float(*a_n.p), b_0 = to_float(*b_n.p);
      each(begin, end, [&](auto i) { y_n.set(i, f(splat<i.lanes>(a_0), splat<i.lanes>(b_0)), past); });
    }
  });
}

}  // namespace

void add_forward(In a, In b, Out y) {
  zip(a, b, y, [](auto a, auto b) { return a + b; });
}

void sub_forward(In a, In b, Out y) {
  zip(a, b, y, [](auto a, auto b) { return a - b; });
}

void mul_forward(In a, In b, Out y) {
  zip(a, b, y, [](auto a, auto b) { return a * b; });
}

void scale_forward(In x, Out y, float factor) {
  const auto from = x.row();
  parallel_map(y, [=](auto i) { return from[i] * factor; });
}

}  // namespace ISA
