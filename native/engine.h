// Tensors behind integer handles, and the checked way to run a kernel on them. One engine per JavaScript environment
// (main thread or worker); all its functions belong to that thread.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "arena.h"
#include "cpu.h"
#include "queue.h"
#include "signature.h"

// What JavaScript gets as an error with that code.
struct EngineError : std::runtime_error {
  EngineError(const char* code, const std::string& message) : std::runtime_error(message), code(code) {}
  const char* code;
};

// Memory that belongs to JavaScript.
struct Loan {
  std::function<bool()> holds;  // is it still where it was?
  std::function<void()> end;    // it is not needed any more
};

// The memory of a tensor. It lives as long as its handle, or longer if JavaScript holds a view of it.
struct Storage {
  char* data = nullptr;
  Dtype dtype = Dtype::f32;
  Index length = 0;
  Block block{nullptr, 0};  // ours, or
  Loan loan;
  int references = 0;  // the handle, and each view or read in flight
  std::size_t bytes() const { return std::size_t(length) * kBytesPerElement[int(dtype)]; }
};

class Engine {
 public:
  explicit Engine(std::function<void(std::uint64_t)> on_ticket);

  std::int64_t allocate(double dtype, double length);
  std::int64_t adopt(Dtype dtype, void* data, Index length, Loan loan);
  void free(double handle);
  void write(double handle, double offset, Dtype dtype, const void* data, Index length);
  // A range of a tensor, whose storage stays until release().
  struct Range {
    Storage* storage;
    char* data;
    std::size_t bytes;
  };
  Range pin(double handle, double offset, double length);
  void release(Storage* storage);
  // Tells `ticket` to the listener when all that was enqueued is done; first copies `range` to `to` unless that is null.
  void notify(std::uint64_t ticket, const Range& range, void* to);
  // Runs kernel number `kernel` of the tables for `real`; `words` holds its arguments in the order of its signature:
  // a number is one word, a tensor is [handle, offset, size per axis, stride per axis], left out [-1].
  void call(double kernel, double real, const double* words, std::size_t count);

  void select_isa(const std::string& name);
  const Isa& isa() const { return *isa_; }
  void set_poison(bool on) { poison_ = on; }
  // Gives free memory back to the system, once everything enqueued has run.
  void trim() {
    queue_.drain();
    reclaim();
    arena_.trim();
  }
  const std::vector<Signature>& signatures() const { return signatures_; }
  const ArenaUsage& usage() const { return arena_.usage(); }
  std::size_t tensors() const { return tensors_; }
  Queue& queue() { return queue_; }
  // Throws and forgets the first fault that kernels reported.
  void throw_fault();

 private:
  struct Slot {
    std::uint32_t generation = 1;
    std::unique_ptr<Storage> storage;
  };
  Storage& find(double handle, const char* what, const char* argument = nullptr);
  Storage& find_usable(double handle, const char* what, const char* argument = nullptr);
  std::int64_t insert(std::unique_ptr<Storage> storage);
  void reclaim();
  void decode_view(const Parameter& parameter, const Signature& signature, Dtype real, const char* kernel,
                   const double*& words, const double* end, View& view, Index* sizes);

  std::vector<Signature> signatures_;
  const Isa* isa_;
  bool poison_ = false;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::size_t tensors_ = 0;
  struct Retired {
    std::uint64_t after;  // commands
    std::function<void()> end_loan;
  };
  std::deque<Retired> retired_;
  Arena arena_;
  Queue queue_;  // last: its thread ends before anything else goes
};
