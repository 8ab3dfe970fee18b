// kernels.def once more: how to call each kernel. Included in the namespace of a backend's kernels, by its table.
namespace {

// Reads the next argument of a call: a view for tensors, a number for the rest.
template <class T>
inline T take(const View*& views, const double*& scalars) {
  if constexpr (__is_base_of(View, T)) {
    T view;
    static_cast<View&>(view) = *views++;
    return view;
  } else {
    return static_cast<T>(*scalars++);
  }
}

template <auto>
struct Invoke;
template <class... A, void (*kernel)(A...)>
struct Invoke<kernel> {
  struct InOrder {  // braces evaluate left to right, which a function's arguments do not
    InOrder(A... arguments) { kernel(arguments...); }
  };
  static void call(const View* views, const double* scalars) { InOrder{take<A>(views, scalars)...}; }
};

const KernelEntry kernels[] = {
#define KERNEL(name, ...) {#name, #__VA_ARGS__, Invoke<name>::call},
#include "kernels.def"
#undef KERNEL
};

}  // namespace
