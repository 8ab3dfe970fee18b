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
#include "../axes.h"
#include "../map.h"

namespace TABLE {

using cuda::Axes;

struct Add {
  PRIMITIVE float operator()(float a, float b) const { return a + b; }
};
struct Subtract {
  PRIMITIVE float operator()(float a, float b) const { return a - b; }
};
struct Multiply {
  PRIMITIVE float operator()(float a, float b) const { return a * b; }
};
struct Scale {
  float factor;
  PRIMITIVE float operator()(float x) const { return x * factor; }
};

struct Steps {
  Index a, b, y;
};

// Rows of `length` elements. If V > 1, y advances by 1, a and b by 1 or 0.
template <int V, class F>
__global__ void zip_rows(F f, const Real* a, const Real* b, Real* y, Axes<3> rows, Index length, Steps step) {
  Index row, piece, at[3];
  cuda::row_grid_place(ceil_div(length, V), &row, &piece);
  if (row >= rows.count()) return;
  rows.locate(row, at);
  const Index i = piece * V;
  a += at[0] + i * step.a;
  b += at[1] + i * step.b;
  y += at[2] + i * step.y;
  if (V > 1 && i + V <= length) {
    const Floats<V> a_i = step.a ? load<V>(a) : splat<V>(to_float(*a));
    const Floats<V> b_i = step.b ? load<V>(b) : splat<V>(to_float(*b));
    Floats<V> y_i;
    UNROLL
    for (int k = 0; k < V; ++k) y_i[k] = f(a_i[k], b_i[k]);
    store<V>(y, y_i);
  } else {
    for (Index k = 0; k < V && i + k < length; ++k)
      y[k * step.y] = to<Real>(f(to_float(a[k * step.a]), to_float(b[k * step.b])));
  }
}

template <class F>
void zip(const F& f, In a, In b, Out y) {
  Axes<3> axes = cuda::joined<3>({a, b, y});
  if (axes.rank == 0) axes.push(1, {1, 1, 1});
  const int last = axes.rank - 1;
  const Axes<3> rows = axes.without(last);
  const Index length = axes.size[last];
  const Steps step{axes.stride[0][last], axes.stride[1][last], axes.stride[2][last]};
  const auto reads_wide = [&](const In& x, int k, Index step) {
    return step == 0 || (step == 1 && is_wide(x.data) && rows.steps_by(k, kWide));
  };
  const bool wide = reads_wide(a, 0, step.a) && reads_wide(b, 1, step.b) && step.y == 1 && is_wide(y.data) &&
                    rows.steps_by(2, kWide);
  const cuda::RowGrid cover(rows.count(), ceil_div(length, wide ? kWide : 1));
  launch(wide ? zip_rows<kWide, F> : zip_rows<1, F>, cover.grid, cover.block, 0, f, a.at(), b.at(), y.at(),
         rows, length, step);
}

void add_forward(In a, In b, Out y) { zip(Add{}, a, b, y); }

void sub_forward(In a, In b, Out y) { zip(Subtract{}, a, b, y); }

void mul_forward(In a, In b, Out y) { zip(Multiply{}, a, b, y); }

void scale_forward(In x, Out y, float factor) { map(Scale{factor}, y.size[0], y.at(), x.at()); }

}  // namespace TABLE
