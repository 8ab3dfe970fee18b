#include "arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace {

constexpr std::size_t kSlab = std::size_t{1} << 20;  // small blocks are carved from slabs of this size
constexpr std::size_t kLargest = kSlab / 4;          // of a carved block
constexpr std::size_t kHugePage = std::size_t{1} << 21;

// Eight classes an octave: at most an eighth is wasted, and sizes that differ little share a free list.
std::size_t class_of(std::size_t bytes) {
  if (bytes <= 64) return 64;
  const std::size_t octave = std::size_t{1} << (63 - __builtin_clzl(bytes - 1));
  const std::size_t step = std::max<std::size_t>(octave / 8, 64);
  return (bytes + step - 1) / step * step;
}

class HostMemory : public MemorySource {
 public:
  std::size_t limit() const override {
    static const std::size_t bytes =
        std::size_t(sysconf(_SC_PHYS_PAGES)) * std::size_t(sysconf(_SC_PAGESIZE));
    return bytes;
  }
#if defined(__SANITIZE_ADDRESS__)
  char* map(std::size_t bytes) override {
    void* data = nullptr;
    return posix_memalign(&data, 64, std::max<std::size_t>(bytes, 1)) == 0 ? static_cast<char*>(data)
                                                                           : nullptr;
  }
  void unmap(char* data, std::size_t) override { std::free(data); }
#else
  char* map(std::size_t bytes) override {
    const bool huge = bytes >= kHugePage;
    const std::size_t slack = huge ? kHugePage : 0;
    void* raw = mmap(nullptr, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) return nullptr;
    char* data = static_cast<char*>(raw);
    if (!huge) return data;
    char* aligned = data + (kHugePage - reinterpret_cast<std::size_t>(data) % kHugePage) % kHugePage;
    const std::size_t page = std::size_t(sysconf(_SC_PAGESIZE));
    char* used_end = aligned + (bytes + page - 1) / page * page;
    if (aligned > data) munmap(data, aligned - data);
    if (used_end < data + bytes + slack) munmap(used_end, data + bytes + slack - used_end);
    madvise(aligned, bytes, MADV_HUGEPAGE);
    return aligned;
  }
  void unmap(char* data, std::size_t bytes) override { munmap(data, bytes); }
#endif
};

class ImaginedMemory : public MemorySource {
 public:
  std::size_t limit() const override { return kLimit; }
  char* map(std::size_t bytes) override {
    if (bytes > kLimit - next_) return nullptr;
    char* data = reinterpret_cast<char*>(next_);
    next_ += (bytes + kHugePage - 1) / kHugePage * kHugePage;
    return data;
  }
  void unmap(char*, std::size_t) override {}

 private:
  static constexpr std::size_t kLimit = std::size_t{1} << 62;
  std::size_t next_ = kHugePage;
};

}  // namespace

std::unique_ptr<MemorySource> host_memory() { return std::make_unique<HostMemory>(); }
std::unique_ptr<MemorySource> imagined_memory() { return std::make_unique<ImaginedMemory>(); }

Arena::~Arena() {
  for (const Block& b : slabs_) source_->unmap(b.data, b.bytes);
  for (const Block& b : large_) source_->unmap(b.data, b.bytes);
}

Block Arena::allocate(std::size_t bytes) {
  if (bytes > source_->limit()) return {nullptr, 0};
  Block block;
  if (caches_) {
    const std::size_t size_class = class_of(bytes);
    block = take_cached(size_class);
    if (!block.data) block = size_class <= kLargest ? carve(size_class) : map(size_class);
  } else {
    block = map(bytes);
  }
  if (block.data) {
    usage_.live += block.bytes;
    usage_.peak = std::max(usage_.peak, usage_.live);
  }
  return block;
}

// A block of this class or of one of the next two: a little waste beats a new mapping.
Block Arena::take_cached(std::size_t size_class) {
  std::size_t candidate = size_class;
  for (int i = 0; i < 3; ++i, candidate = class_of(candidate + 1)) {
    const auto found = free_.find(candidate);
    if (found == free_.end() || found->second.empty()) continue;
    char* data = found->second.back();
    found->second.pop_back();
    return {data, candidate};
  }
  return {nullptr, 0};
}

void Arena::release(Block block) {
  usage_.live -= block.bytes;
  if (caches_) {
    free_[block.bytes].push_back(block.data);
    return;
  }
  usage_.reserved -= block.bytes;
  source_->unmap(block.data, block.bytes);
}

Block Arena::carve(std::size_t bytes) {
  if (std::size_t(slab_end_ - slab_top_) < bytes) {
    const Block slab = map(kSlab);
    if (!slab.data) return {nullptr, 0};
    large_.pop_back();  // slabs are given back all together
    slabs_.push_back(slab);
    slab_top_ = slab.data, slab_end_ = slab.data + slab.bytes;
  }
  char* data = slab_top_;
  slab_top_ += bytes;
  return {data, bytes};
}

Block Arena::map(std::size_t bytes) {
  if (usage_.reserved + bytes > source_->limit()) return {nullptr, 0};
  char* data = source_->map(bytes);
  if (!data) return {nullptr, 0};
  usage_.reserved += bytes;
  if (caches_) large_.push_back({data, bytes});
  return {data, bytes};
}

void Arena::trim() {
  const auto is_free = [&](const Block& b) {
    const auto list = free_.find(b.bytes);
    if (list == free_.end()) return false;
    const auto at = std::find(list->second.begin(), list->second.end(), b.data);
    if (at == list->second.end()) return false;
    list->second.erase(at);
    return true;
  };
  const auto kept = std::remove_if(large_.begin(), large_.end(), [&](const Block& b) {
    if (!is_free(b)) return false;
    usage_.reserved -= b.bytes;
    source_->unmap(b.data, b.bytes);
    return true;
  });
  large_.erase(kept, large_.end());
  if (usage_.live > 0) return;
  for (const Block& slab : slabs_) {
    usage_.reserved -= slab.bytes;
    source_->unmap(slab.data, slab.bytes);
  }
  slabs_.clear();
  free_.clear();
  slab_top_ = slab_end_ = nullptr;
}
