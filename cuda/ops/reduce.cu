// Sum and maximum over one axis, or over several that are adjacent.
//
//   x [O, R, I]    y [O, I]    index [O, I]            R is reduced
//
//   sum            y = factor · Σᵣ x                   factor = 1 / R makes it the mean
//   max            y = maxᵣ x, index = the first r where it is; NaN counts as the largest
//   max_backward   dx = dy where r = index, else 0
//   sum_rows       y += Σₙ x                           x [N, C]    y [C]
#include "../reduction.h"

namespace TABLE {

namespace {

// The axes of x [O, R, I] that are kept, with strides in x, y and index.
Axes<3> kept_axes(const View& x, const View& y, const View& index) {
  const auto axis = [](const View& view, int outer, int inner) {
    return View{view.data,
                {1, 1, view.size[outer], view.size[inner]},
                {0, 0, view.stride[outer], view.stride[inner]}};
  };
  return cuda::joined<3>({axis(x, 0, 2), axis(y, 0, 1), axis(index, 0, 1)});
}

Axes<1> reduced_axis(const View& x) {
  Axes<1> reduced;
  if (x.size[1] != 1) reduced.push(x.size[1], {x.stride[1]});
  return reduced;
}

}  // namespace

struct ScaledSum {
  Real* y;
  float factor;
  PRIMITIVE void put(Index at, Index, float sum) const { y[at] = to<Real>(sum * factor); }
};

void sum_forward(In x, Out y, float factor) {
  reduce<Sum>(x.at(), kept_axes(x, y, y), reduced_axis(x), ScaledSum{y.at(), factor});
}

void sum_rows(In x, Acc y) {
  const Index N = x.size[0], C = x.size[1];
  In rows;
  Acc sums;
  static_cast<View&>(rows) = {x.data, {1, 1, N, C}, {0, 0, x.stride[0], x.stride[1]}};
  static_cast<View&>(sums) = {y.data, {1, 1, N, C}, {0, 0, 0, y.stride[0]}};
  accumulate(rows, sums);
}

// The larger of two is the same in any order: of equal ones it is the first.
struct Largest {
  struct Value {
    float value;
    std::int32_t at;
  };
  static constexpr std::int32_t kNowhere = 0x7fffffff;
  PRIMITIVE static Value nothing() { return {-INFINITY, kNowhere}; }
  PRIMITIVE static Value of(float x, Index r) { return {x, static_cast<std::int32_t>(r)}; }
  PRIMITIVE static Value combine(Value a, Value b) {
    const bool a_is_nan = a.value != a.value, b_is_nan = b.value != b.value;
    const bool larger = b.value > a.value || (b_is_nan && !a_is_nan);
    const bool equal = b.value == a.value || (a_is_nan && b_is_nan);
    return larger || (equal && b.at < a.at) ? b : a;
  }
  PRIMITIVE static Value across(Value v, int step) {
    return {__shfl_xor_sync(0xffffffffu, v.value, step), __shfl_xor_sync(0xffffffffu, v.at, step)};
  }
};

struct ValueAndIndex {
  Real* y;
  std::int32_t* index;
  PRIMITIVE void put(Index at, Index at_index, Largest::Value largest) const {
    y[at] = to<Real>(largest.value);
    index[at_index] = largest.at == Largest::kNowhere ? 0 : largest.at;
  }
};

void max_forward(In x, Out y, OutIds index) {
  reduce<Largest>(x.at(), kept_axes(x, y, index), reduced_axis(x), ValueAndIndex{y.at(), index.at()});
}

// Rows along I, or along R if I = 1.
__global__ void max_backward_rows(In dy, Ids index, Out dx) {
  const Index O = dx.size[0], R = dx.size[1], I = dx.size[2];
  Index row, piece, o, r, i;
  if (I == 1) {
    cuda::row_grid_place(R, &row, &piece);
    o = row, r = piece, i = 0;
  } else {
    cuda::row_grid_place(I, &row, &piece);
    cuda::divide(row, R, &o, &r);
    i = piece;
  }
  if (o >= O || r >= R || i >= I) return;
  *dx.at(o, r, i) = *index.at(o, i) == r ? *dy.at(o, i) : to<Real>(0.f);
}

void max_backward(In dy, Ids index, Out dx) {
  const Index O = dx.size[0], R = dx.size[1], I = dx.size[2];
  const cuda::RowGrid cover(I == 1 ? O : O * R, I == 1 ? R : I);
  launch(max_backward_rows, cover.grid, cover.block, 0, dy, index, dx);
}

}  // namespace TABLE
