// The memory of the emulated device: one range of addresses. Each allocation ends at a page that nobody may
// touch, holds NaN when it is fresh, and its addresses are used again as late as possible.
#pragma once
#include <cstddef>
#include <string>

namespace emulation {

// How much the device has: less when checking, where each byte takes twelve more.
std::size_t device_bytes();

struct Allocation {
  char* data;
  std::size_t bytes;
};

// Where device memory starts and ends; null before the first allocation.
extern char *device_memory, *device_memory_end;
inline bool is_device_memory(const void* p) { return p >= device_memory && p < device_memory_end; }

// The allocation to whose pages p belongs; bytes is 0 if there is none (any more).
Allocation allocation_at(const void* p);
// Empty if these bytes lie within one allocation.
std::string check_range(const void* p, std::size_t bytes);

std::string allocate_device(void** data, std::size_t bytes);
std::string release_device(void* data);
std::size_t free_device_bytes();

}  // namespace emulation
