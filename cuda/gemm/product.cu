// From a product to launches: operands that cannot be read as they lie are copied, split ones always; the
// kernel of the plan; and the parts of K added.
#include <algorithm>

#include "copies.h"
#include "launches.h"
#include "product.h"

namespace cuda::gemm {

namespace {

Index round_up(Index x, Index unit) { return ceil_div(x, unit) * unit; }

// An operand as a kernel may read it: as it lies or in a copy.
struct Side {
  Operand operand;
  Index extent, K, batches;  // the copy's, of which there is one if all batches have the same
  bool along_k;
  TileOperand tile() const {
    const Index bytes = operand.size_of_element();
    const Index pitch = along_k ? operand.stride : operand.k_stride;
    return {static_cast<const char*>(operand.data), pitch * bytes, operand.batch_stride * bytes, low_plane};
  }
  Index low_plane = 0;  // in bytes, of a split copy
};

Side side_of(const Operand& operand, Index extent, Index K, Index batches) {
  Side side{operand, extent, K, operand.batch_stride == 0 ? 1 : batches, false};
  if (batches == 1) side.operand.batch_stride = 0;
  // The stride of an axis of one element is any.
  if (extent == 1) side.operand.stride = operand.k_stride == 1 ? round_up(K, kPiece) : 1;
  if (K == 1) side.operand.k_stride = side.operand.stride == 1 ? round_up(extent, kPiece) : 1;
  side.along_k = side.operand.k_stride == 1 || side.operand.stride != 1;
  return side;
}

// Whether rows of 16-byte pieces can be copied from where the operand lies. Kernels without bounds read whole
// pieces and, if `whole_k`, pieces along K.
bool readable(const Side& side, bool bounded, bool whole_k) {
  const Operand& o = side.operand;
  const Index pitch = side.along_k ? o.stride : o.k_stride, unit = 16 / o.size_of_element();
  const bool contiguous = (side.along_k ? o.k_stride : o.stride) == 1;
  const bool aligned =
      reinterpret_cast<std::uintptr_t>(o.data) % 16 == 0 && pitch % unit == 0 && o.batch_stride % unit == 0;
  if (!contiguous || !aligned) return false;
  if (bounded) return true;
  if (!side.along_k && side.extent % unit && !o.padded) return false;
  return !whole_k || side.K % unit == 0 || (side.along_k && o.padded);
}

// Replaces the operand by a copy that has zeros as far as K_padded.
void copy(Side& side, bool along_k, Form form, Index K_padded, Scratch& scratch) {
  const Operand& o = side.operand;
  Copy c{};
  c.from = o.data;
  c.element = o.element;
  c.row_stride = along_k ? o.stride : o.k_stride;
  c.column_stride = along_k ? o.k_stride : o.stride;
  c.batch_stride = o.batch_stride;
  c.batches = int(side.batches);
  c.rows = int(along_k ? side.extent : side.K);
  c.columns = int(along_k ? side.K : side.extent);
  c.form = form;
  c.padded_rows = int(along_k ? side.extent : K_padded);
  c.pitch = int(along_k ? K_padded : round_up(side.extent, kPiece));
  const Index bytes = form == Form::f32 ? 4 : 2, planes = form == Form::split ? 2 : 1;
  c.to = scratch.take<char>(c.plane() * bytes * planes);
  enqueue(c);
  side.along_k = along_k;
  side.low_plane = form == Form::split ? c.plane() * bytes : 0;
  side.operand = {c.to,
                  form == Form::f32 ? Element::f32 : Element::bf16,
                  along_k ? c.pitch : 1,
                  along_k ? 1 : c.pitch,
                  side.batches == 1 ? 0 : c.to_batch(),
                  true};
}

bool lies_in_eights(const Matrix& x, Index bytes) {
  const bool strides = x.stride * bytes % 16 == 0 && x.batch_stride * bytes % 16 == 0;
  return !x.data || (strides && reinterpret_cast<std::uintptr_t>(x.data) % 16 == 0);
}
bool is_aligned(const Epilogue& e) {
  const Index bytes = e.element == Element::bf16 ? 2 : 4;
  return reinterpret_cast<std::uintptr_t>(e.bias) % 16 == 0 && lies_in_eights(e.slope, bytes) &&
         lies_in_eights(e.residual, bytes) && lies_in_eights(e.pre, bytes) && lies_in_eights(e.y, bytes);
}

int step_of(Kernel kernel) {
  switch (kernel) {
    case Kernel::simple:
      return kSimpleStep;
    case Kernel::hopper:
      return HopperTile::kK;
    case Kernel::large:
    case Kernel::wide:
      return LargeTile::kK;
    default:
      return SmallTile::kK;
  }
}

// What a kernel of tiles gets, its operands in the form that it needs.
struct Sides {
  Side a, b;
  Index K;
  int terms = 1;

  void make_strict(Scratch& scratch) {
    for (Side* side : {&a, &b})
      if (!side->along_k || !readable(*side, false, true))
        copy(*side, true, Form::f32, round_up(K, kPiece), scratch);
    K = round_up(K, 4) * 2;
  }
  void make_tiles(Kernel kernel, Scratch& scratch) {
    const bool splits = a.operand.element == Element::f32, hopper = kernel == Kernel::hopper;
    const bool bounded = kernel == Kernel::bounded || hopper;
    const Index padded = round_up(K, splits ? step_of(kernel) : kPiece);
    // But hopper there is no kernel for a along M and b along K: the smaller one is turned.
    const bool turns = !a.along_k && b.along_k && !hopper;
    const bool turns_a = turns && a.batches * a.extent <= b.batches * b.extent, turns_b = turns && !turns_a;
    const bool a_along_k = a.along_k != turns_a, b_along_k = b.along_k != turns_b;
    const bool whole_k = a_along_k || b_along_k;
    const Form form = splits ? Form::split : Form::bf16;
    if (splits || turns_a || !readable(a, bounded, whole_k)) copy(a, a_along_k, form, padded, scratch);
    if (splits || turns_b || !readable(b, bounded, whole_k)) copy(b, b_along_k, form, padded, scratch);
    if (splits || (whole_k && !bounded)) K = padded;
    if (splits) terms = 3;
  }
};

void launch_rows_of(const Product& p, Side& a, const Side& b, const Epilogue& epilogue, Scratch& scratch) {
  const Index K = round_up(p.K, kPiece);
  const Form form = p.a.element == Element::bf16 ? Form::bf16 : Form::f32;
  if (!has_pieces_along_k(a.operand, p.K)) copy(a, true, form, K, scratch);
  launch_rows({a.operand, b.operand, int(p.B), int(p.M), int(p.N), int(K), 0, epilogue});
}

}  // namespace

void multiply(const Product& product) {
  constexpr Index kMost = (Index{1} << 31) - 256;  // tiles and steps beyond the edge stay in an int
  for (const Index size : {product.B, product.M, product.N, product.K})
    if (size > kMost) return context().fail("a product has an axis of " + std::to_string(size) + " elements");
  if (product.B && product.M && product.N) multiply(product, plan(product));
}

void multiply(const Product& p, const Plan& plan) {
  const int B = int(p.B), M = int(p.M), N = int(p.N);
  Epilogue epilogue = p.epilogue;
  epilogue.aligned = is_aligned(epilogue);
  Scratch scratch;
  Sides sides{side_of(p.a, p.M, p.K, p.B), side_of(p.b, p.N, p.K, p.B), p.K};
  if (plan.kernel == Kernel::rows) return launch_rows_of(p, sides.a, sides.b, epilogue, scratch);
  const bool simple = plan.kernel == Kernel::simple, strict = plan.kernel == Kernel::strict;
  if (strict)
    sides.make_strict(scratch);
  else if (!simple)
    sides.make_tiles(plan.kernel, scratch);

  const int step = step_of(plan.kernel);
  const Index tiles = ceil_div(sides.K, step), all = tiles * sides.terms;
  const Index part = std::max(Index{1}, ceil_div(all, plan.parts));
  const int parts = int(std::max(Index{1}, ceil_div(all, part)));
  const Index pitch = round_up(p.N, kPiece);
  Epilogue sums = epilogue;
  if (parts > 1) {
    sums = {};
    sums.y = {scratch.take<float>(parts * p.B * p.M * pitch), pitch, p.M * pitch};
    sums.aligned = true;
  }
  if (simple) {
    launch_simple(parts, {sides.a.operand, sides.b.operand, B, M, N, int(sides.K), int(part) * step, sums});
  } else {
    const TileArguments arguments{sides.a.tile(), sides.b.tile(), B,          M,         N,
                                  int(sides.K),   sides.terms,    int(tiles), int(part), sums};
    if (strict)
      launch_strict(parts, arguments);
    else if (plan.kernel == Kernel::hopper)
      launch_hopper(sides.a.along_k, sides.b.along_k, parts, arguments);
    else
      launch_tiles(plan.kernel, sides.a.along_k, sides.b.along_k, parts, arguments);
  }
  if (parts > 1)
    launch_partials({static_cast<const float*>(sums.y.data), parts, B, M, N, int(pitch), epilogue});
}

}  // namespace cuda::gemm
