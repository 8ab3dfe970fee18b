#include <algorithm>
#include <cstring>

#include "staging.h"
#include "try.h"

namespace cuda {

std::string Staging::create() {
  TRY(rt::create(&copies_));
  for (Slot& slot : slots_) {
    TRY(rt::allocate_pinned(reinterpret_cast<void**>(&slot.pinned), kBytes));
    TRY(rt::allocate(reinterpret_cast<void**>(&slot.device), kBytes));
    TRY(rt::create(&slot.arrived));
    TRY(rt::create(&slot.consumed));
  }
  return "";
}

Staging::~Staging() {
  for (Slot& slot : slots_) {
    if (slot.pinned) rt::release_pinned(slot.pinned);
    if (slot.device) rt::release(slot.device);
    if (slot.arrived) rt::destroy(slot.arrived);
    if (slot.consumed) rt::destroy(slot.consumed);
  }
  if (copies_) rt::destroy(copies_);
}

std::string Staging::stage(Slot& slot, const char* from, std::size_t bytes) {
  if (slot.is_used) TRY(rt::synchronize(slot.consumed));
  std::memcpy(slot.pinned, from, bytes);
  TRY(rt::copy_in(slot.device, slot.pinned, bytes, copies_));
  return rt::record(slot.arrived, copies_);
}

std::string Staging::write(void* to, const void* from, std::size_t bytes, rt::Stream compute, bool captured) {
  for (std::size_t at = 0; at < bytes; at += kBytes) {
    const std::size_t count = std::min(bytes - at, kBytes);
    Slot& slot = slots_[next_++ % kSlots];
    TRY(stage(slot, static_cast<const char*>(from) + at, count));
    if (captured)
      TRY(rt::synchronize(slot.arrived));
    else
      TRY(rt::wait(compute, slot.arrived));
    TRY(rt::copy(static_cast<char*>(to) + at, slot.device, count, compute));
    if (captured) {
      ++captured_;
      continue;
    }
    TRY(rt::record(slot.consumed, compute));
    slot.is_used = true;
  }
  return "";
}

std::string Staging::launched(rt::Stream compute) {
  for (; captured_ > 0; --captured_) {
    Slot& slot = slots_[(next_ - captured_) % kSlots];
    TRY(rt::record(slot.consumed, compute));
    slot.is_used = true;
  }
  return "";
}

// Two halves of the first slot take turns: one is filled by the device while the other is emptied by the
// host.
std::string Staging::read(void* to, const void* from, std::size_t bytes, rt::Stream compute) {
  Slot& slot = slots_[next_++ % kSlots];
  if (slot.is_used) TRY(rt::synchronize(slot.consumed));
  constexpr std::size_t kHalf = kBytes / 2;
  rt::Event done[2] = {slot.arrived, slot.consumed};
  const auto size = [&](std::size_t at) { return std::min(bytes - at, kHalf); };
  const auto start = [&](std::size_t at) -> std::string {
    const int half = int(at / kHalf % 2);
    TRY(rt::copy_out(slot.pinned + half * kHalf, static_cast<const char*>(from) + at, size(at), compute));
    return rt::record(done[half], compute);
  };
  if (bytes > 0) TRY(start(0));
  for (std::size_t at = 0; at < bytes; at += kHalf) {
    if (at + kHalf < bytes) TRY(start(at + kHalf));
    const int half = int(at / kHalf % 2);
    TRY(rt::synchronize(done[half]));
    std::memcpy(static_cast<char*>(to) + at, slot.pinned + half * kHalf, size(at));
  }
  slot.is_used = false;
  return "";
}

}  // namespace cuda
