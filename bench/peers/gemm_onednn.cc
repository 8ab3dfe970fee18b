// Products by oneDNN, versions 2 and 3.
#include <dnnl.hpp>

#include "gemm.h"

using dnnl::matmul;
using dnnl::memory;

namespace {

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

memory::desc matrix(memory::dim rows, memory::dim columns, bool transposed, memory::data_type dtype) {
  using Strides = memory::dims;
  return {{rows, columns}, dtype, transposed ? Strides{1, rows} : Strides{columns, 1}};
}

matmul::primitive_desc describe(const memory::desc& a, const memory::desc& b, const memory::desc& y) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine(), a, b, y};
#else
  return {matmul::desc(a, b, y), engine()};
#endif
}

}  // namespace

std::string open_library(const char*) {
  const dnnl_version_t* v = dnnl_version();
  return "oneDNN " + std::to_string(v->major) + "." + std::to_string(v->minor) + "." +
         std::to_string(v->patch);
}

std::function<void()> prepare(const Product& p) {
  using dtype = memory::data_type;
  const dtype in = p.bf16 ? dtype::bf16 : dtype::f32, out = p.bf16 && !p.sums ? dtype::bf16 : dtype::f32;
  const auto a_desc = matrix(p.M, p.K, p.a_transposed, in), b_desc = matrix(p.K, p.N, p.b_transposed, in);
  const auto y_desc = matrix(p.M, p.N, false, out);
  const memory::desc any({p.K, p.N}, in, memory::format_tag::any);
  const auto how = describe(a_desc, p.packed ? any : b_desc, y_desc);

  const Buffer a_data = random_numbers(p.M * p.K, p.bf16), b_data = random_numbers(p.K * p.N, p.bf16);
  memory a(a_desc, engine(), a_data.get()), plain(b_desc, engine(), b_data.get()), y(y_desc, engine());
  memory b = p.packed ? memory(how.weights_desc(), engine()) : plain;
  dnnl::stream stream(engine());
  if (p.packed) dnnl::reorder(plain, b).execute(stream, plain, b);
  const matmul product(how);
  return [=]() mutable {
    (void)a_data, (void)b_data;  // kept as long as the function
    product.execute(stream, {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, y}});
    stream.wait();
  };
}
