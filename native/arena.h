// The caching allocator of one queue.
//
// Work runs in the order it is enqueued, so memory that is freed when later work is enqueued may be handed
// out again at once: whoever gets it will only touch it after its former owner has finished. In the steady
// state of a training loop every request is served from a free list: no system call, no page fault, no zero
// fill.
#pragma once
#include <cstddef>
#include <memory>
#include <unordered_map>
#include <vector>

struct Block {
  char* data;
  std::size_t bytes;  // of its size class
};

struct ArenaUsage {
  std::size_t live = 0;      // handed out
  std::size_t peak = 0;      // most ever handed out
  std::size_t reserved = 0;  // obtained from the source
};

// Where an arena gets its memory.
class MemorySource {
 public:
  virtual ~MemorySource() = default;
  virtual char* map(std::size_t bytes) = 0;  // at least 64-byte aligned; null if there is no such amount
  virtual void unmap(char* data, std::size_t bytes) = 0;
  virtual std::size_t limit() const = 0;  // bytes that the device has
};
std::unique_ptr<MemorySource> host_memory();
// Addresses without memory behind them: to count what would be needed.
std::unique_ptr<MemorySource> imagined_memory();
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kCachesHostMemory = false;
#else
constexpr bool kCachesHostMemory = true;
#endif

class Arena {
 public:
  // Without caching every tensor is an allocation of its own and every free is real, so that a sanitizer sees
  // each element out of bounds. The queue must then run each command before the call returns.
  Arena(std::unique_ptr<MemorySource> source, bool caches) : source_(std::move(source)), caches_(caches) {}
  Arena(const Arena&) = delete;
  ~Arena();
  // 64-byte aligned, uninitialised. data == nullptr when the device has no such amount.
  Block allocate(std::size_t bytes);
  void release(Block block);
  // Gives free large blocks back to the system; the small ones when all are free. Nothing enqueued may still
  // use them.
  void trim();
  const ArenaUsage& usage() const { return usage_; }
  // From here on the peak is what is live now, or more.
  void reset_peak() { usage_.peak = usage_.live; }

 private:
  Block take_cached(std::size_t size_class);
  Block map(std::size_t bytes);
  Block carve(std::size_t bytes);

  std::unique_ptr<MemorySource> source_;
  bool caches_;
  std::unordered_map<std::size_t, std::vector<char*>> free_;  // by size class
  std::vector<Block> slabs_;
  std::vector<Block> large_;
  char* slab_top_ = nullptr;
  char* slab_end_ = nullptr;
  ArenaUsage usage_;
};
