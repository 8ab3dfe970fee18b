#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

// Bytes of a file in memory. They are the file's own pages until they are written to, and then this process's
// alone: what is written is never seen in the file. Whoever makes the file shorter while it is mapped ends
// the process at the next access beyond its new end (SIGBUS); replacing it by another file does no harm.
class Mapping {
 public:
  // Null where the system or the kind of file has no such mapping: then the bytes have to be read.
  // Throws EngineError ERR_CHECKPOINT unless the file, which is open for reading, has all these bytes.
  static std::unique_ptr<Mapping> of_file(int file, std::uint64_t position, std::size_t length);

  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  void* data() const { return static_cast<char*>(pages_) + skip_; }

 private:
  Mapping(void* pages, std::size_t skip, std::size_t length) : pages_(pages), skip_(skip), length_(length) {}

  void* pages_;
  std::size_t skip_;  // bytes of the first page before the first byte that was asked for
  std::size_t length_;
};
