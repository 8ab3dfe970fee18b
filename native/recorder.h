// What is enqueued while it is on, call by call: who, with which shapes, when it was asked for and when it
// ran. One of an engine; all its functions belong to the engine's thread. Times are milliseconds of one
// clock, clock_ms().
#pragma once
#include <chrono>
#include <cstddef>
#include <deque>
#include <limits>
#include <vector>

inline double clock_ms() {
  using Milliseconds = std::chrono::duration<double, std::milli>;
  return Milliseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// When a command ran, by the clock of its executor: written by the queue's thread, read when that has
// finished.
struct RunTimes {
  double start = std::numeric_limits<double>::quiet_NaN();
  double end = std::numeric_limits<double>::quiet_NaN();
};

class Recorder {
 public:
  // What stands before the words of each call in `calls`.
  enum Field { kKind, kDevice, kKernel, kReal, kTaken, kEnqueued, kLiveBytes, kWords, kFields };

  bool is_on() const { return is_on_; }
  void begin() {
    forget();
    is_on_ = true;
  }
  void end() { is_on_ = false; }
  // Where the times of a call go; null if there are too many calls already, which are then only counted.
  RunTimes* add(const double (&fields)[kFields], const double* words) {
    if (times_.size() == kMostCalls) {
      ++left_out_;
      return nullptr;
    }
    calls_.insert(calls_.end(), fields, fields + kFields);
    calls_.insert(calls_.end(), words, words + std::size_t(fields[kWords]));
    return &times_.emplace_back();
  }
  const std::vector<double>& calls() const { return calls_; }
  const std::deque<RunTimes>& times() const { return times_; }
  std::size_t left_out() const { return left_out_; }
  void forget() {
    calls_ = {};
    times_ = {};
    left_out_ = 0;
  }

 private:
  static constexpr std::size_t kMostCalls = std::size_t{1} << 19;  // some 150 MB of words
  bool is_on_ = false;
  std::vector<double> calls_;
  std::deque<RunTimes> times_;  // its elements stay where they are
  std::size_t left_out_ = 0;
};
