// Products of warpgroups. Sums are rounded at each k, ascending; the hardware sums in another order.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "async_units.h"
#include "hopper.h"
#include "options.h"

namespace emulation {

// ---- generic writes, of the checked build

constexpr std::size_t kPiece = 16;

void AsyncUnits::note_write(std::size_t offset, std::size_t bytes, unsigned thread) {
  const std::size_t end = (offset + bytes - 1) / kPiece + 1;
  if (writers.size() < end) writers.resize(end);
  for (std::size_t i = offset / kPiece; i < end; i++) writers[i] = {thread + 1};
}

void fence_async() {
  for (Writer& writer : units().writers) {
    if (writer.thread == current->number + 1) writer.thread = 0;
  }
}

// ---- operands

std::uint32_t ProductOperand::address(int i, int k) const {
  const auto field = [&](int bit) { return std::uint32_t(descriptor >> bit & 0x3fff) * 16; };
  const std::uint32_t start = field(0), leading = field(16), stride = field(32);
  const auto row = std::uint32_t(transposed ? k : i), column = std::uint32_t(transposed ? i : k);
  return swizzled(start + row / 8 * stride + row % 8 * kAtomRow + column / 64 * leading + column % 64 * 2);
}

bool ProductOperand::overlaps(std::uint32_t begin, std::uint32_t end) const {
  bool found = false;
  each_piece([&](std::uint32_t piece) { found = found || (begin <= piece && piece < end); });
  return found;
}

namespace {

constexpr char kFence[] = "product_fence", kProduct[] = "product_bf16", kCommit[] = "product_commit",
               kWait[] = "product_wait";

template <class Work>
void meet_warpgroup(const char* operation, const void* pc, Work&& work) {
  Warpgroup& warpgroup = units().warpgroups[current->number / kWarpgroup];
  meet_some(warpgroup.meeting, operation, kWarpgroup, pc, [&] { work(warpgroup); });
}

// The sum that register i of this thread of a warpgroup holds.
float& sum_of(ProductSums& sums, unsigned thread, int i) {
  const unsigned lane = thread % kLanes, row = thread / kLanes * 16 + lane / 4 + i / 2 % 2 * 8;
  return sums.values[row][i / 4 * 8 + int(lane % 4) * 2 + i % 2];
}

void check_operand(const Product& product, const ProductOperand& operand) {
  if (operand.descriptor >> 62 != 1 || operand.descriptor & 0x38)
    fail("%s at %s: the swizzle of an operand is not that of 128 bytes, or does not start where it does",
         kProduct, source_line(product.pc).c_str());
  const std::vector<Writer>& writers = units().writers;
  operand.each_piece([&](std::uint32_t address) {
    require_shared(at_shared(address), kPiece, kProduct, product.pc);
    const std::size_t piece = (address - kSharedBase) / kPiece;
    if (piece < writers.size() && writers[piece].thread)
      fail("%s at %s reads what thread %u wrote, with no fence_async since", kProduct,
           source_line(product.pc).c_str(), writers[piece].thread - 1);
  });
  for (const TileCopy& tile : units().tiles) {
    if (operand.overlaps(tile.to, tile.to + tile.bytes()))
      fail("%s at %s reads what load_tile at %s brings, which is under way", kProduct,
           source_line(product.pc).c_str(), source_line(tile.pc).c_str());
  }
}

// The words that thread t of the warpgroup holds of a, those it told product_fence; fails if they are others.
void hold(const Warpgroup& warpgroup, const Product& product, unsigned t) {
  const FencedRegisters& fenced = warpgroup.named[t];
  const std::uint32_t* words = warpgroup.held[t];
  const std::ptrdiff_t first = words - fenced.registers;
  if (!fenced.registers || first < 0 || first + kFragment > fenced.count)
    fail("%s at %s: product_fence was not told the registers of its left operand", kProduct,
         source_line(product.pc).c_str());
  if (std::memcmp(words, fenced.values + first, sizeof product.held->values[t]))
    fail("%s at %s: thread %u of the warpgroup wrote registers of its left operand after product_fence",
         kProduct, source_line(product.pc).c_str(), t);
  product.held->registers[t] = words;
  std::memcpy(product.held->values[t], words, sizeof product.held->values[t]);
}

void require_held(const Product& product) {
  if (!product.held) return;
  for (unsigned t = 0; t < kWarpgroup; t++) {
    if (std::memcmp(product.held->registers[t], product.held->values[t], sizeof product.held->values[t]))
      fail("%s at %s is under way while thread %u of the warpgroup writes registers of its left operand",
           kProduct, source_line(product.pc).c_str(), t);
  }
}

// Of a left operand in registers.
float element(const RegisterOperand& operand, int i, int k) {
  const int thread = i / 16 * int(kLanes) + i % 8 * 4 + k % 8 / 2, word = i % 16 / 8 + k / 8 * 2;
  return prim::to_float(bf16{std::uint16_t(operand.values[thread][word] >> k % 2 * 16)});
}

float element(const ProductOperand& operand, int i, int k) {
  std::uint16_t bits;
  std::memcpy(&bits, at_shared(operand.address(i, k)), 2);
  return prim::to_float(bf16{bits});
}

// After the last product of its sums these go into the registers.
void compute(Warpgroup& warpgroup, Product& product) {
  if (product.done) return;
  product.done = true;
  ProductSums& sums = *product.sums;
  if (!product.adds) std::fill_n(sums.values[0], kProductM * kProductN, 0.f);
  for (int k = 0; k < int(kProductK); k++)
    for (int j = 0; j < sums.columns; j++) sums.b[k][j] = element(product.b, j, k);
  for (int i = 0; i < int(kProductM); i++) {
    for (int k = 0; k < int(kProductK); k++) {
      const float a = product.held ? element(*product.held, i, k) : element(product.a, i, k);
      for (int j = 0; j < sums.columns; j++) sums.values[i][j] += a * sums.b[k][j];
    }
  }
  if (--sums.products > 0) return;
  for (unsigned t = 0; t < kWarpgroup; t++)
    for (int i = 0; i < sums.columns / 2; i++) sums.registers[t][i] = sum_of(sums, t, i);
  auto& all = warpgroup.sums;
  all.erase(std::find_if(all.begin(), all.end(), [&](const auto& each) { return each.get() == &sums; }));
}

// Of the registers that each thread of the warpgroup named: those of a product under way, or new ones.
ProductSums* sums_of(Warpgroup& warpgroup, int columns) {
  for (const auto& sums : warpgroup.sums) {
    if (sums->registers[0] == warpgroup.registers[0]) return sums.get();
  }
  warpgroup.sums.push_back(std::make_unique<ProductSums>());
  ProductSums& sums = *warpgroup.sums.back();
  std::memcpy(sums.registers, warpgroup.registers, sizeof sums.registers);
  sums.columns = columns;
  for (unsigned t = 0; t < kWarpgroup; t++) {
    for (int i = 0; i < columns / 2; i++) {
      sum_of(sums, t, i) = sums.registers[t][i];
      sums.registers[t][i] = NAN;
    }
  }
  return &sums;
}

}  // namespace

namespace {

void start(Warpgroup& warpgroup, Product product, int columns) {
  if (!warpgroup.fenced)
    fail("%s at %s: no product_fence before it", kProduct, source_line(product.pc).c_str());
  if (!product.held) check_operand(product, product.a);
  for (unsigned t = 0; t < kWarpgroup && product.held; t++) hold(warpgroup, product, t);
  check_operand(product, product.b);
  product.sums = sums_of(warpgroup, columns);
  product.sums->products++;
  warpgroup.products.push_back(std::move(product));
  if (options().early_copies) compute(warpgroup, warpgroup.products.back());
}

}  // namespace

void product_fence(const std::uint32_t* registers, int count) {
  FencedRegisters& named =
      units().warpgroups[current->number / kWarpgroup].named[current->number % kWarpgroup];
  named.registers = registers;
  named.count = std::min(count, kMaxRegisters);
  std::copy_n(registers, named.count, named.values);
  meet_warpgroup(kFence, CALLER, [](Warpgroup& warpgroup) { warpgroup.fenced = true; });
}

void product_bf16(float* sums, int columns, bool adds, std::uint64_t a, std::uint64_t b, bool transposed_a,
                  bool transposed_b) {
  const void* pc = CALLER;
  units().warpgroups[current->number / kWarpgroup].registers[current->number % kWarpgroup] = sums;
  meet_warpgroup(kProduct, pc, [&](Warpgroup& warpgroup) {
    start(warpgroup,
          {{a, transposed_a, int(kProductM)}, {b, transposed_b, columns}, nullptr, nullptr, adds, false, pc},
          columns);
  });
}

void product_bf16(float* sums, int columns, const std::uint32_t* a, std::uint64_t b, bool transposed_b) {
  const void* pc = CALLER;
  Warpgroup& own = units().warpgroups[current->number / kWarpgroup];
  own.registers[current->number % kWarpgroup] = sums;
  own.held[current->number % kWarpgroup] = a;
  meet_warpgroup(kProduct, pc, [&](Warpgroup& warpgroup) {
    start(warpgroup,
          {{}, {b, transposed_b, columns}, std::make_unique<RegisterOperand>(), nullptr, true, false, pc},
          columns);
  });
}

void product_commit() {
  meet_warpgroup(kCommit, CALLER, [](Warpgroup& warpgroup) {
    warpgroup.groups.push_back({unsigned(warpgroup.products.size())});
    warpgroup.fenced = false;
  });
}

void product_wait(unsigned pending) {
  meet_warpgroup(kWait, CALLER, [pending](Warpgroup& warpgroup) {
    std::vector<Product>& products = warpgroup.products;
    std::vector<CopyGroup>& groups = warpgroup.groups;
    if (groups.size() <= pending) return;
    const auto done = std::ptrdiff_t(groups.size() - pending);
    const unsigned end = groups[std::size_t(done) - 1].end;
    for (unsigned i = 0; i < end; i++) {
      require_held(products[i]);
      compute(warpgroup, products[i]);
    }
    products.erase(products.begin(), products.begin() + end);
    groups.erase(groups.begin(), groups.begin() + done);
    for (CopyGroup& group : groups) group.end -= end;
  });
}

}  // namespace emulation
