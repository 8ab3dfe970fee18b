// y[i] = f(x[i], …) over arrays of any types.
#pragma once
#include "floats.h"

namespace TABLE {

template <int V, class F, class... X>
PRIMITIVE Floats<V> apply(const F& f, const X&... x) {
  Floats<V> y;
  UNROLL
  for (int k = 0; k < V; ++k) y[k] = f(x[k]...);
  return y;
}

template <int V, class F, class Y, class... X>
__global__ void map_elements(F f, Index count, Y* y, const X*... x) {
  const Index i = global_thread() * V;
  if (i + V <= count)
    store<V>(y + i, apply<V>(f, load<V>(x + i)...));
  else
    for (Index k = i; k < count; ++k) store<1>(y + k, apply<1>(f, load<1>(x + k)...));
}

template <class F, class Y, class... X>
void map(const F& f, Index count, Y* y, const X*... x) {
  const bool wide = is_wide(y) && (is_wide(x) && ...);
  const auto kernel = wide ? map_elements<kWide, F, Y, X...> : map_elements<1, F, Y, X...>;
  const Index pieces = ceil_div(count, wide ? kWide : 1);
  launch(kernel, blocks_for(pieces), block_for(pieces), 0, f, count, y, x...);
}

}  // namespace TABLE
