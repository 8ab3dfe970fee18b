#include "memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>

#include "check.h"

namespace emulation {

char *device_memory = nullptr, *device_memory_end = nullptr;

namespace {

constexpr std::size_t kPage = 4096, kAlignment = 256;

std::mutex mutex;
std::map<std::size_t, std::size_t>* free_ranges;  // first page → pages
std::size_t next_page = 0;                        // where to look first: behind the newest allocation
std::size_t free_pages;
std::uint32_t* first_page;  // of the allocation that a page belongs to, plus 1
Allocation* allocations;    // by their first page

void* reserve(std::size_t bytes, int protection) {
  void* p = mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? nullptr : p;
}

bool prepare() {
  if (device_memory) return true;
  const std::size_t pages = device_bytes() / kPage;
  first_page = static_cast<std::uint32_t*>(reserve(pages * sizeof(std::uint32_t), PROT_READ | PROT_WRITE));
  allocations = static_cast<Allocation*>(reserve(pages * sizeof(Allocation), PROT_READ | PROT_WRITE));
  void* memory = reserve(device_bytes(), PROT_NONE);
  if (!first_page || !allocations || !memory) return false;
  free_ranges = new std::map<std::size_t, std::size_t>{{0, pages}};
  free_pages = pages;
  device_memory = static_cast<char*>(memory);
  device_memory_end = device_memory + device_bytes();
  return true;
}

// The first free range of so many pages behind the newest allocation, else from the start.
bool take(std::size_t pages, std::size_t* begin) {
  auto start = free_ranges->upper_bound(next_page);
  if (start != free_ranges->begin()) {
    auto before = std::prev(start);
    if (before->first + before->second > next_page) start = before;
  }
  auto fits = [&](auto range) { return range->second >= pages; };
  auto found = start;
  while (found != free_ranges->end() && !fits(found)) ++found;
  if (found == free_ranges->end()) {
    found = free_ranges->begin();
    while (found != start && !fits(found)) ++found;
    if (found == start) return false;
  }
  *begin = found->first;
  const std::size_t left = found->second - pages;
  free_ranges->erase(found);
  if (left) free_ranges->emplace(*begin + pages, left);
  next_page = *begin + pages;
  free_pages -= pages;
  return true;
}

void give_back(std::size_t begin, std::size_t pages) {
  free_pages += pages;
  auto next = free_ranges->lower_bound(begin);
  if (next != free_ranges->end() && next->first == begin + pages) {
    pages += next->second;
    next = free_ranges->erase(next);
  }
  if (next != free_ranges->begin()) {
    auto before = std::prev(next);
    if (before->first + before->second == begin) {
      before->second += pages;
      return;
    }
  }
  free_ranges->emplace(begin, pages);
}

// Fresh memory is all ones, which are NaN as floats.
bool poison_now(char* base, std::size_t bytes) {
  if (mprotect(base, bytes, PROT_READ | PROT_WRITE) != 0) return false;
  std::memset(base, 0xff, bytes);
  return true;
}

// The same for much memory, of which perhaps little will be used: private copies of one file that holds
// nothing else.
constexpr std::size_t kPoison = std::size_t{4} << 20;
bool poison_when_read(char* base, std::size_t bytes) {
  static const int file = [] {
    const int created = memfd_create("trainformer-poison", MFD_CLOEXEC);
    const std::string ones(kPoison, '\xff');
    return created >= 0 && write(created, ones.data(), kPoison) == ssize_t(kPoison) ? created : -1;
  }();
  if (file < 0) return poison_now(base, bytes);
  for (std::size_t at = 0; at < bytes; at += kPoison) {
    void* mapped = mmap(base + at, std::min(kPoison, bytes - at), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_FIXED, file, 0);
    if (mapped == MAP_FAILED) return false;
  }
  return true;
}

std::size_t pages_of(std::size_t bytes) {
  return (bytes + kPage - 1) / kPage + 1;
}  // one of them is the guard

}  // namespace

std::size_t device_bytes() { return std::size_t(checking ? 4 : 16) << 30; }

Allocation allocation_at(const void* p) {
  if (!is_device_memory(p)) return {nullptr, 0};
  const std::size_t page = std::size_t(static_cast<const char*>(p) - device_memory) / kPage;
  const std::uint32_t first = first_page[page];
  return first ? allocations[first - 1] : Allocation{nullptr, 0};
}

std::string check_range(const void* p, std::size_t bytes) {
  if (bytes == 0) return "";
  const Allocation allocation = allocation_at(p);
  if (!allocation.bytes) return "invalid device pointer: not of a live allocation";
  const std::ptrdiff_t offset = static_cast<const char*>(p) - allocation.data;
  if (offset >= 0 && std::size_t(offset) <= allocation.bytes &&
      bytes <= allocation.bytes - std::size_t(offset))
    return "";
  return "invalid device range: " + std::to_string(bytes) + " bytes at offset " + std::to_string(offset) +
         " of an allocation of " + std::to_string(allocation.bytes);
}

std::string allocate_device(void** data, std::size_t bytes) {
  *data = nullptr;
  if (bytes == 0) return "";
  std::lock_guard<std::mutex> lock(mutex);
  if (!prepare()) return "out of memory: no address space for the emulated device";
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment, pages = pages_of(rounded);
  std::size_t first;
  if (bytes > device_bytes() || !take(pages, &first)) return "out of memory";
  char* base = device_memory + first * kPage;
  const std::size_t usable = (pages - 1) * kPage;
  if (!(usable < kPoison ? poison_now(base, usable) : poison_when_read(base, usable))) {
    give_back(first, pages);
    return "out of memory: the system has none";
  }
  for (std::size_t i = first; i < first + pages; i++) first_page[i] = std::uint32_t(first + 1);
  allocations[first] = {base + usable - rounded, bytes};
  *data = allocations[first].data;
  return "";
}

std::string release_device(void* data) {
  if (!data) return "";
  std::lock_guard<std::mutex> lock(mutex);
  const Allocation allocation = allocation_at(data);
  if (!allocation.bytes || allocation.data != data) return "invalid device pointer: cannot be released";
  const std::size_t first = first_page[std::size_t(allocation.data - device_memory) / kPage] - 1;
  const std::size_t pages = pages_of((allocation.bytes + kAlignment - 1) / kAlignment * kAlignment);
  allocations[first] = {nullptr, 0};
  // Also gives the memory back to the system.
  mmap(device_memory + first * kPage, pages * kPage, PROT_NONE,
       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  std::memset(first_page + first, 0, pages * sizeof *first_page);
  give_back(first, pages);
  return "";
}

std::size_t free_device_bytes() {
  std::lock_guard<std::mutex> lock(mutex);
  return device_memory ? free_pages * kPage : device_bytes();
}

}  // namespace emulation
