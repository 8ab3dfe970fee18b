#include <algorithm>

#include "context.h"

namespace cuda {

thread_local Context* current = nullptr;

namespace {
#if defined(TRAINFORMER_CHECKED)
constexpr std::size_t kSlab = 0;  // each piece is an allocation of its own, whose bounds are checked
#else
constexpr std::size_t kSlab = std::size_t{64} << 20;
#endif
constexpr std::size_t kAlignment = 256;
}  // namespace

ScratchStack::~ScratchStack() { forget_slabs(0); }

void ScratchStack::forget_slabs(std::size_t from) {
  for (; slabs_.size() > from; slabs_.pop_back()) rt::release(slabs_.back().data);
}

void* ScratchStack::take(std::size_t bytes) {
  bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  for (;; ++slab_, used_ = 0) {
    if (kSlab == 0 && used_ == 0 && slab_ < slabs_.size() && slabs_[slab_].bytes != bytes) forget_slabs(slab_);
    if (slab_ == slabs_.size()) {
      void* data = nullptr;
      const std::size_t size = std::max(bytes, kSlab);
      const std::string error = rt::allocate(&data, size);
      if (!error.empty()) {
        context().fail("no scratch memory of " + std::to_string(size) + " bytes (" + error + ")");
        return nullptr;
      }
      slabs_.push_back({static_cast<char*>(data), size});
      used_ = 0;
    }
    if (used_ + bytes <= slabs_[slab_].bytes) break;
  }
  char* taken = slabs_[slab_].data + used_;
  used_ += bytes;
  return taken;
}

}  // namespace cuda
