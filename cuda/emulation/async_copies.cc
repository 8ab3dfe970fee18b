// cp.async
#include <cstring>

#include "collectives.h"
#include "meet.h"
#include "options.h"

namespace emulation {

void require_shared(const void* p, std::size_t bytes, const char* operation, const void* pc) {
  const Block* block = current->block;
  const std::ptrdiff_t offset = static_cast<const unsigned char*>(p) - block->shared;
  if (offset < 0 || std::size_t(offset) + bytes > block->shared_bytes)
    fail("%s at %s: %zu bytes at offset %td of %zu bytes of shared memory", operation,
         source_line(pc).c_str(), bytes, offset, block->shared_bytes);
  if (offset % std::ptrdiff_t(bytes))
    fail("%s at %s: offset %td is no multiple of %zu", operation, source_line(pc).c_str(), offset, bytes);
}

namespace {

void land(Thread* thread, AsyncCopy& copy) {
  if (copy.landed) return;
  copy.landed = true;
  if (copy.valid) std::memcpy(copy.to, copy.from, std::size_t(copy.valid));
  std::memset(copy.to + copy.valid, 0, std::size_t(copy.bytes - copy.valid));
  if (checking) check_copy_landed(thread, copy);
}

}  // namespace

void copy_async(void* shared, const void* global, int bytes, int valid) {
  const void* pc = CALLER;
  Thread* thread = current;
  require_shared(shared, std::size_t(bytes), "cp.async", pc);
  if (reinterpret_cast<std::uintptr_t>(global) % std::uintptr_t(bytes))
    fail("cp.async at %s: the global address is no multiple of %d", source_line(pc).c_str(), bytes);
  if (valid < 0 || valid > bytes)
    fail("cp.async at %s: %d valid bytes of %d", source_line(pc).c_str(), valid, bytes);
  std::vector<AsyncCopy>& copies = thread->async.copies;
  copies.push_back({static_cast<char*>(shared), static_cast<const char*>(global), bytes, valid, false, pc});
  if (checking) check_copy_issued(thread, copies.back());
  if (options().early_copies) land(thread, copies.back());
}

void copy_async_commit() {
  AsyncCopies& async = current->async;
  async.groups.push_back({unsigned(async.copies.size())});
}

void copy_async_wait(int pending) {
  Thread* thread = current;
  AsyncCopies& async = thread->async;
  const std::size_t groups = async.groups.size();
  if (groups <= std::size_t(pending)) return;
  const std::size_t done = groups - std::size_t(pending);
  if (done <= async.waited_groups) return;
  const unsigned end = async.groups[done - 1].end;
  for (unsigned i = async.waited_copies; i < end; i++) land(thread, async.copies[i]);
  async.waited_groups = unsigned(done);
  async.waited_copies = end;
  async.forget_landed();
}

}  // namespace emulation
