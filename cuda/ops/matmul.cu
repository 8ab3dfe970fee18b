// Matrix products. Formulas: ../../native/ops/matmul.cc; how they are made: ../gemm/product.h.
#include "../gemm/copies.h"
#include "../gemm/packed.h"
#include "../gemm/product.h"
#include "../kernel.h"

namespace TABLE {

namespace {

using namespace cuda::gemm;

constexpr Element kElement = kIsBf16 ? Element::bf16 : Element::f32;

// Whether the rows of all products lie as those of one.
bool rows_follow(const View& x) { return !x.data || x.stride[0] == x.size[1] * x.stride[1]; }
void join_rows(View& x) {
  if (x.data) x.size[1] *= x.size[0], x.size[0] = 1;
}

Operand rows_of(const View& a) { return {a.data, kElement, a.stride[1], a.stride[2], a.stride[0]}; }
Operand columns_of(const View& b) { return {b.data, kElement, b.stride[2], b.stride[1], b.stride[0]}; }
Matrix matrix(const View& x) { return {x.data, x.stride[1], x.stride[0]}; }

Epilogue epilogue_of(In32Opt bias, InOpt slope, InOpt residual, OutOpt pre, Out y, Index activation) {
  Epilogue e;
  e.bias = bias ? bias.at() : nullptr;
  e.slope = matrix(slope);
  e.residual = matrix(residual);
  e.pre = matrix(pre);
  e.y = matrix(y);
  e.element = kElement;
  e.activation = int(activation);
  return e;
}

bool checks_packed(const View& packed, Index K, Index N) {
  if (cuda::holds_packed<Real>(packed, K, N)) return true;
  context().fail("a packed weight is too small, has gaps or is misaligned");
  return false;
}

}  // namespace

void matmul(InStrided a, InStrided b, In32Opt bias, InOpt slope, InOpt residual, OutOpt pre, Out y,
            Index activation) {
  const bool follow = rows_follow(a) && rows_follow(slope) && rows_follow(residual) && rows_follow(pre);
  if (b.stride[0] == 0 && follow && rows_follow(y))
    join_rows(a), join_rows(slope), join_rows(residual), join_rows(pre), join_rows(y);
  multiply({a.size[0], a.size[1], b.size[2], a.size[2], rows_of(a), columns_of(b),
            epilogue_of(bias, slope, residual, pre, y, activation)});
}

void matmul_packed(InStrided a, In32 b, In32Opt bias, InOpt slope, InOpt residual, OutOpt pre, Out y,
                   Index activation) {
  const Index M = a.size[1], K = a.size[2], N = y.size[2];
  if (!checks_packed(b, K, N)) return;
  multiply({1,
            M,
            N,
            K,
            rows_of(a),
            {b.data, kElement, cuda::packed_pitch<Real>(K), 1, 0, true},
            epilogue_of(bias, slope, residual, pre, y, activation)});
}

void matmul_accumulate(InStrided a, InStrided b, Acc y, Index add) {
  if (b.stride[0] == 0 && rows_follow(a) && rows_follow(y)) join_rows(a), join_rows(y);
  const Index B = a.size[0];
  const bool shared = y.stride[0] == 0 && B > 1;  // all are added to one, one after another
  Epilogue e;
  e.y = matrix(y);
  e.adds = add || shared;
  Product product{shared ? 1 : B, a.size[1], b.size[2], a.size[2], rows_of(a), columns_of(b), e};
  for (Index i = 0; i < (shared ? B : 1); ++i) {
    product.a.data = a.at(i);
    product.b.data = b.at(i);
    multiply(product);
  }
}

void pack_weight(In32Strided b, Out32 packed) {
  const Index K = b.size[0], N = b.size[1];
  if (!checks_packed(packed, K, N)) return;
  Copy copy{};
  copy.from = b.data;
  copy.element = Element::f32;
  copy.row_stride = b.stride[1];
  copy.column_stride = b.stride[0];
  copy.batches = 1;
  copy.rows = copy.padded_rows = int(N);
  copy.columns = int(K);
  copy.pitch = int(cuda::packed_pitch<Real>(K));
  copy.to = packed.data;
  copy.form = kIsBf16 ? Form::bf16 : Form::f32;
  enqueue(copy);
}

}  // namespace TABLE
