#include "control.h"

#include <algorithm>
#include <exception>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace text {

void Control::each(std::size_t count, const std::function<void(std::size_t, int)>& body) const {
  std::atomic<std::size_t> next{0};
  std::atomic<bool> stopped{false}, failed{false};
  const auto work = [&](int thread) {
    try {
      for (std::size_t i; (i = next.fetch_add(1)) < count;) {
        check();
        body(i, thread);
      }
    } catch (const Stopped&) {
      next.store(count);
      stopped.store(true);
    } catch (const std::exception&) {  // containers throw no other than what memory is missing for
      next.store(count);
      failed.store(true);
    }
  };
  std::vector<std::thread> others;
  const int wanted = int(std::min<std::size_t>(std::size_t(threads), count));
  others.reserve(std::size_t(std::max(wanted, 1)));
  try {
    for (int i = 1; i < wanted; ++i) others.emplace_back(work, i);
  } catch (const std::system_error&) {  // no more threads: those that there are do the work
  }
  work(0);
  for (std::thread& other : others) other.join();
  if (failed.load()) throw std::bad_alloc();
  if (stopped.load()) throw Stopped();
}

}  // namespace text
