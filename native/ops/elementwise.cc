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

namespace ISA {

namespace {

// The innermost axes along which a and b either are dense or stay where they are, and y is dense: one long row.
struct InnerRow {
  int outer_axes;
  Index length;
  bool moves[3];
};

InnerRow inner_row(const View (&operands)[3]) {
  InnerRow row{kMaxRank, 1, {true, true, true}};
  const Index* size = operands[2].size;
  while (row.outer_axes > 0) {
    const int axis = row.outer_axes - 1;
    bool fits = true;
    for (int k = 0; k < 3 && size[axis] != 1; ++k) {
      const Index stride = operands[k].stride[axis];
      if (row.length == 1) row.moves[k] = stride != 0 || k == 2;
      fits &= stride == (row.moves[k] ? row.length : 0);
    }
    if (!fits) break;
    row.length *= size[axis];
    --row.outer_axes;
  }
  return row;
}

// Where row n of a tensor starts, when its first `axes` axes are counted as one.
template <class T>
auto row_at(const Typed<T>& tensor, int axes, Index n) {
  Index offset = 0;
  for (int axis = axes - 1; axis >= 0; --axis) {
    offset += n % tensor.size[axis] * tensor.stride[axis];
    n /= tensor.size[axis];
  }
  return Row<T>{static_cast<T*>(tensor.data) + offset};
}

template <class F>
void zip(In a, In b, Out y, const F& f) {
  const InnerRow row = inner_row({a, b, y});
  Index rows = 1;
  for (int axis = 0; axis < row.outer_axes; ++axis) rows *= y.size[axis];
  if (rows == 0 || row.length == 0) return;
  const Index pieces = ceil_div(row.length, kGrain);
  parallel_rows(rows * pieces, row.length / pieces, [&](Index n) {
    const auto a_n = row_at(a, row.outer_axes, n / pieces), b_n = row_at(b, row.outer_axes, n / pieces);
    const auto y_n = row_at(y, row.outer_axes, n / pieces);
    const Index begin = n % pieces * kGrain, end = min(row.length, begin + kGrain);
    if (row.moves[0] && row.moves[1]) {
      each(begin, end, [&](auto i) { y_n.set(i, f(a_n[i], b_n[i])); });
    } else if (row.moves[0]) {
      const float b_0 = to_float(*b_n.p);
      each(begin, end, [&](auto i) { y_n.set(i, f(a_n[i], splat<i.lanes>(b_0))); });
    } else if (row.moves[1]) {
      const float a_0 = to_float(*a_n.p);
      each(begin, end, [&](auto i) { y_n.set(i, f(splat<i.lanes>(a_0), b_n[i])); });
    } else {
      const float a_0 = to_float(*a_n.p), b_0 = to_float(*b_n.p);
      each(begin, end, [&](auto i) { y_n.set(i, f(splat<i.lanes>(a_0), splat<i.lanes>(b_0))); });
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
  const auto to = y.row();
  parallel_each(x.size[0], [&](auto i) { to.set(i, from[i] * factor); });
}

}  // namespace ISA
