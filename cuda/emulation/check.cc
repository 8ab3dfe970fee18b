// Races and bounds. Every two bytes of shared and of device memory have a cell, which tells who wrote them
// last and who has read them since. An access races with a former one by another thread if nothing orders the
// two: a barrier of the block (a new epoch), a __syncwarp of the warp, or the end of the launch. Blocks of a
// launch are never ordered.
#include "check.h"

#include <dlfcn.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "async_units.h"
#include "memory.h"

namespace emulation {

bool checking = false;
std::mutex check_mutex;

namespace {

// An access, or a group of reads.
struct Stamp {
  std::uint32_t epoch;
  std::uint32_t warp_epoch : 16, thread : 10, bytewise : 1;
  std::uint32_t flying : 1, atomic : 1;                                  // of writes
  std::uint32_t several_lanes : 1, several_warps : 1, other_blocks : 1;  // of reads
};
struct Cell {
  Stamp write, read;
  std::uint32_t write_pc, read_pc;  // relative to `anchor`
};
static_assert(sizeof(Stamp) == 8 && sizeof(Cell) == 24);

constexpr std::size_t kCellBytes = 2, kSharedBytes = 228 * 1024;

Cell* shared_cells = nullptr;
Cell* device_cells = nullptr;
const char* anchor = nullptr;
const Launch* launch = nullptr;

// Functions of the standard library that this file uses may be those that were compiled with the kernels,
// whose accesses come here.
bool inside = false;

// Each launch, block and barrier begins an epoch. Since blocks run one after the other, the epoch of an
// access tells which block of which launch it belongs to.
std::uint32_t epoch = 0, launch_epoch = 0, block_epoch = 0;

template <class T>
T* reserve(std::size_t count) {
  void* p = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    std::perror("CUDA emulation, checked: mmap");
    std::abort();
  }
  return static_cast<T*>(p);
}

std::uint32_t short_pc(const void* pc) { return std::uint32_t(static_cast<const char*>(pc) - anchor); }
std::string line_of(std::uint32_t pc) { return source_line(anchor + std::int32_t(pc)); }

// The access under way.
struct Visit {
  const Thread* thread;
  const void* p;
  std::size_t bytes;
  Access access;
  const void* pc;
  bool shared;
  std::uint32_t warp_epoch;

  bool writes() const { return access != Access::read; }
  bool same_warp(Stamp s) const { return s.thread / kLanes == thread->warp->number; }

  // Whether nothing orders a former write before this access.
  bool races_with_write(Stamp s) const {
    if (s.epoch < (shared ? block_epoch : launch_epoch)) return false;
    if (access == Access::atomic && s.atomic) return false;
    if (s.epoch < block_epoch) return true;
    if (s.epoch < epoch || s.thread == thread->number) return false;
    return !(same_warp(s) && s.warp_epoch < warp_epoch);
  }
  bool races_with_reads(Stamp s) const {
    if (s.epoch < (shared ? block_epoch : launch_epoch)) return false;
    if (s.epoch < block_epoch || s.other_blocks) return true;
    if (s.epoch < epoch) return false;
    if (s.several_warps || !same_warp(s)) return true;
    if (s.warp_epoch < warp_epoch) return false;
    return s.several_lanes || s.thread != thread->number;
  }
  Stamp stamp() const {
    Stamp s{};
    s.epoch = epoch;
    s.warp_epoch = warp_epoch;
    s.thread = thread->number;
    s.bytewise = bytes == 1;
    return s;
  }
  void add_read(Cell* cell) const {
    Stamp& s = cell->read;
    const bool other_blocks = !shared && s.epoch >= launch_epoch && (s.other_blocks || s.epoch < block_epoch);
    if (s.epoch == epoch && s.several_warps) return;
    if (s.epoch == epoch && !same_warp(s)) {
      s.several_warps = 1;
    } else if (s.epoch == epoch && s.warp_epoch == warp_epoch && s.thread != thread->number) {
      s.several_lanes = 1;
    } else if (!(s.epoch == epoch && s.warp_epoch == warp_epoch)) {
      s = stamp();
      cell->read_pc = short_pc(pc);
    }
    s.other_blocks = other_blocks;
  }
  void set_write(Cell* cell) const {
    cell->write = stamp();
    cell->write.atomic = access == Access::atomic;
    cell->write_pc = short_pc(pc);
    cell->read.epoch = 0;
  }

  const char* verb() const {
    return access == Access::read ? "read" : access == Access::write ? "written" : "updated";
  }
  std::string place(const Cell* cell) const {
    std::ptrdiff_t offset;
    if (shared) {
      offset = (cell - shared_cells) * std::ptrdiff_t(kCellBytes);
      return "shared race: byte " + std::to_string(offset) + " ";
    }
    const char* address = device_memory + (cell - device_cells) * kCellBytes;
    offset = address - allocation_at(address).data;
    return "global race: byte " + std::to_string(offset) + " of an allocation ";
  }
  std::string by(Stamp s) const {
    if (s.epoch < block_epoch || s.other_blocks) return " by another block";
    if (s.several_warps || s.several_lanes) return " by thread " + std::to_string(s.thread) + " and others";
    return " by thread " + std::to_string(s.thread);
  }
  [[noreturn]] void report(const Cell* cell, const char* did, Stamp s, std::uint32_t their_pc) const {
    const char* missing = s.flying                ? ", a cp.async that is under way"
                          : s.epoch < block_epoch ? ""
                                                  : ", with no barrier between";
    fail("%s%s at %s, %s at %s%s%s", place(cell).c_str(), verb(), source_line(pc).c_str(), did,
         line_of(their_pc).c_str(), by(s).c_str(), missing);
  }
};

void visit(const Visit& v, Cell* cell, Cell* end) {
  for (; cell < end; cell++) {
    if (cell->write.flying) v.report(cell, "written", cell->write, cell->write_pc);
    if (v.races_with_write(cell->write) && !(v.bytes == 1 || cell->write.bytewise))
      v.report(cell, "written", cell->write, cell->write_pc);
    if (v.writes()) {
      if (v.races_with_reads(cell->read) && !(v.bytes == 1 || cell->read.bytewise))
        v.report(cell, "read", cell->read, cell->read_pc);
      v.set_write(cell);
    } else {
      v.add_read(cell);
    }
  }
}

Visit visit_by(const Thread* thread, const void* p, std::size_t bytes, Access access, const void* pc,
               bool shared) {
  return {thread, p, bytes, access, pc, shared, thread->warp->epoch < 0xffff ? thread->warp->epoch : 0xffff};
}

Cell* cell_of(Cell* cells, std::size_t offset) { return cells + offset / kCellBytes; }
Cell* cell_behind(Cell* cells, std::size_t end) { return cells + (end + kCellBytes - 1) / kCellBytes; }

const char* name(Access access) {
  return access == Access::read ? "read" : access == Access::write ? "write" : "atomic";
}

void visit_shared(const Visit& v) {
  const Block* block = v.thread->block;
  const std::ptrdiff_t offset = static_cast<const unsigned char*>(v.p) - block->shared;
  if (offset < 0 || std::size_t(offset) + v.bytes > block->shared_bytes)
    fail("shared memory out of bounds at %s: %zu-byte %s at offset %td of %zu", source_line(v.pc).c_str(),
         v.bytes, name(v.access), offset, block->shared_bytes);
  visit(v, cell_of(shared_cells, std::size_t(offset)),
        cell_behind(shared_cells, std::size_t(offset) + v.bytes));
}

void visit_device(const Visit& v) {
  const Allocation allocation = allocation_at(v.p);
  const std::string line = allocation.bytes ? "" : source_line(v.pc);
  if (!allocation.bytes)
    fail("global memory out of bounds at %s: %zu-byte %s of memory that is not allocated (any more)",
         line.c_str(), v.bytes, name(v.access));
  const std::ptrdiff_t offset = static_cast<const char*>(v.p) - allocation.data;
  if (offset < 0 || std::size_t(offset) + v.bytes > allocation.bytes)
    fail("global memory out of bounds at %s: %zu-byte %s at offset %td of an allocation of %zu",
         source_line(v.pc).c_str(), v.bytes, name(v.access), offset, allocation.bytes);
  if (!device_cells) device_cells = reserve<Cell>(device_bytes() / kCellBytes);
  const std::size_t at = std::size_t(static_cast<const char*>(v.p) - device_memory);
  visit(v, cell_of(device_cells, at), cell_behind(device_cells, at + v.bytes));
}

// Neither shared nor device memory: a local variable, a constant of the program, an argument of the kernel;
// else memory of the host, which a device does not see.
void visit_elsewhere(const Visit& v) {
  constexpr std::ptrdiff_t kNear = std::ptrdiff_t{128} << 20;
  const char* p = static_cast<const char*>(v.p);
  const char* here = static_cast<const char*>(__builtin_frame_address(0));
  if (std::abs(p - here) < kNear) return;
  const char* arguments = static_cast<const char*>(launch->arguments);
  if (p >= arguments && p < arguments + launch->arguments_bytes) return;
  static thread_local const char* constant_page = nullptr;
  const char* page = p - reinterpret_cast<std::uintptr_t>(p) % 4096;
  if (page == constant_page) return;
  Dl_info object;
  if (dladdr(p, &object)) {
    constant_page = page;
    return;
  }
  fail("%zu-byte %s of host memory (or of none) at %s", v.bytes, name(v.access), source_line(v.pc).c_str());
}

bool is_shared(const Block* block, const void* p) {
  // With the guard page behind it, and as much before.
  const std::ptrdiff_t offset = static_cast<const unsigned char*>(p) - block->shared;
  return offset >= std::ptrdiff_t(block->shared_bytes) - std::ptrdiff_t(kSharedBytes) &&
         offset < std::ptrdiff_t(block->shared_bytes) + 4096;
}

}  // namespace

void check_launch(const Launch& begun) {
  launch = &begun;
  if (!shared_cells) {
    shared_cells = reserve<Cell>(kSharedBytes / kCellBytes);
    anchor = reinterpret_cast<const char*>(&check_launch);
  }
  launch_epoch = ++epoch;
}

void check_block_begun() {
  block_epoch = ++epoch;
  inside = false;
}

void check_barrier(Block* block) {
  epoch++;
  for (unsigned i = 0; i < block->warp_count; i++) {
    if (is_counting()) count_requests(&block->warps[i]);
    block->warps[i].epoch = 0;
  }
}

void check_block_abandoned() {
  std::memset(shared_cells, 0, kSharedBytes / kCellBytes * sizeof(Cell));
  if (is_counting()) forget_requests();
}

void check_access(const void* p, std::size_t bytes, Access access, const void* pc) {
  Thread* thread = current;
  if (!thread || inside) return;
  inside = true;
  const bool shared = is_shared(thread->block, p);
  const Visit v = visit_by(thread, p, bytes, access, pc, shared);
  if (shared) {
    visit_shared(v);
    if (v.writes())
      thread->block->units->note_write(
          std::size_t(static_cast<const unsigned char*>(p) - thread->block->shared), bytes, thread->number);
  } else if (is_device_memory(p)) {
    visit_device(v);
  } else {
    visit_elsewhere(v);
    inside = false;
    return;
  }
  if (is_counting()) count_access(thread, p, bytes, shared, pc);
  inside = false;
}

void check_copy_issued(Thread* thread, const AsyncCopy& copy) {
  if (copy.valid) {
    if (!is_device_memory(copy.from))
      fail("cp.async at %s: the source is no device memory", source_line(copy.pc).c_str());
    check_access(copy.from, std::size_t(copy.valid), Access::read, copy.pc);
  }
  check_access(copy.to, std::size_t(copy.bytes), Access::write, copy.pc);
  const std::size_t offset = std::size_t(reinterpret_cast<unsigned char*>(copy.to) - thread->block->shared);
  for (Cell* cell = cell_of(shared_cells, offset);
       cell < cell_of(shared_cells, offset + std::size_t(copy.bytes)); cell++)
    cell->write.flying = 1;
}

// To others it is written when its thread has waited for it.
void check_copy_landed(Thread* thread, const AsyncCopy& copy) {
  const Visit v = visit_by(thread, copy.to, std::size_t(copy.bytes), Access::write, copy.pc, true);
  const std::size_t offset = std::size_t(reinterpret_cast<unsigned char*>(copy.to) - thread->block->shared);
  for (Cell* cell = cell_of(shared_cells, offset); cell < cell_of(shared_cells, offset + v.bytes); cell++)
    v.set_write(cell);
}

}  // namespace emulation
