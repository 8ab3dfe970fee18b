// What -fsanitize=thread makes the compiler call, for kernels of the checked build.
#include "check.h"

using emulation::Access;
using emulation::check_access;

#define CALLER __builtin_extract_return_addr(__builtin_return_address(0))

namespace {

// The hardware faults where the compiler was told of an alignment that is not there.
inline void check_aligned(const void* p, std::size_t bytes, Access access, const void* pc) {
  if (!emulation::current) return;
  if (reinterpret_cast<std::uintptr_t>(p) % bytes)
    emulation::fail("misaligned access at %s: %zu bytes", emulation::source_line(pc).c_str(), bytes);
  check_access(p, bytes, access, pc);
}

}  // namespace

// See primitives.h.
namespace emulation::checked_here {
uint3 thread() { return current->index; }
uint3 block() { return current->block->index; }
dim3 block_extent() { return current->block->block; }
dim3 grid_extent() { return current->block->grid; }
unsigned char* shared() { return current->block->shared; }
}  // namespace emulation::checked_here

extern "C" {

void __tsan_init() { emulation::checking = true; }
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

#define ACCESSES(bytes)                                                                          \
  void __tsan_read##bytes(void* p) { check_aligned(p, bytes, Access::read, CALLER); }            \
  void __tsan_write##bytes(void* p) { check_aligned(p, bytes, Access::write, CALLER); }          \
  void __tsan_unaligned_read##bytes(void* p) { check_access(p, bytes, Access::read, CALLER); }   \
  void __tsan_unaligned_write##bytes(void* p) { check_access(p, bytes, Access::write, CALLER); } \
  void __tsan_volatile_read##bytes(void* p) { check_aligned(p, bytes, Access::read, CALLER); }   \
  void __tsan_volatile_write##bytes(void* p) { check_aligned(p, bytes, Access::write, CALLER); }
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)
void __tsan_read_range(void* p, std::size_t bytes) { check_access(p, bytes, Access::read, CALLER); }
void __tsan_write_range(void* p, std::size_t bytes) { check_access(p, bytes, Access::write, CALLER); }

// Atomics of the host: files of kernels hold host code too. Kernels use those of primitives.h.
#define ATOMICS(bits, T)                                                                                  \
  T __tsan_atomic##bits##_load(const volatile T* p, int) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); } \
  void __tsan_atomic##bits##_store(volatile T* p, T v, int) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); } \
  T __tsan_atomic##bits##_exchange(volatile T* p, T v, int) {                                             \
    return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);                                                   \
  }                                                                                                       \
  T __tsan_atomic##bits##_fetch_add(volatile T* p, T v, int) {                                            \
    return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);                                                    \
  }                                                                                                       \
  T __tsan_atomic##bits##_fetch_sub(volatile T* p, T v, int) {                                            \
    return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST);                                                    \
  }                                                                                                       \
  T __tsan_atomic##bits##_fetch_and(volatile T* p, T v, int) {                                            \
    return __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST);                                                    \
  }                                                                                                       \
  T __tsan_atomic##bits##_fetch_or(volatile T* p, T v, int) {                                             \
    return __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST);                                                     \
  }                                                                                                       \
  T __tsan_atomic##bits##_fetch_xor(volatile T* p, T v, int) {                                            \
    return __atomic_fetch_xor(p, v, __ATOMIC_SEQ_CST);                                                    \
  }                                                                                                       \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile T* p, T* expected, T v, int, int) {          \
    return __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);        \
  }                                                                                                       \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile T* p, T* expected, T v, int, int) {            \
    return __atomic_compare_exchange_n(p, expected, v, true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);         \
  }
ATOMICS(8, std::uint8_t)
ATOMICS(16, std::uint16_t)
ATOMICS(32, std::uint32_t)
ATOMICS(64, std::uint64_t)
void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_atomic_signal_fence(int) {}

}  // extern "C"
