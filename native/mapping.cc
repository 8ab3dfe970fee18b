#include "mapping.h"

#include "engine.h"

#ifndef _WIN32
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

bool is_regular(int file, std::uint64_t* bytes) {
  struct stat facts;
  if (fstat(file, &facts) != 0 || !S_ISREG(facts.st_mode)) return false;
  *bytes = std::uint64_t(facts.st_size);
  return true;
}

}  // namespace

std::unique_ptr<Mapping> Mapping::of_file(int file, std::uint64_t position, std::size_t length) {
  std::uint64_t bytes;
  if (length == 0 || !is_regular(file, &bytes)) return nullptr;
  const auto check = [&] {
    if (position > bytes || length > bytes - position)
      throw EngineError("ERR_CHECKPOINT", "it must have " + std::to_string(length) + " bytes from byte " +
                                              std::to_string(position) + " on; got a file of " +
                                              std::to_string(bytes));
  };
  check();
  const std::size_t skip = position % std::size_t(sysconf(_SC_PAGESIZE));
#ifdef MAP_NORESERVE
  const int flags = MAP_PRIVATE | MAP_NORESERVE;  // pages that are only read need no memory set aside
#else
  const int flags = MAP_PRIVATE;
#endif
  void* pages = mmap(nullptr, skip + length, PROT_READ | PROT_WRITE, flags, file, off_t(position - skip));
  if (pages == MAP_FAILED) return nullptr;
  std::unique_ptr<Mapping> mapping(new Mapping(pages, skip, length));
  if (!is_regular(file, &bytes)) return nullptr;
  check();  // again: what was cut off meanwhile would end the process
  return mapping;
}

Mapping::~Mapping() { munmap(pages_, skip_ + length_); }

#else

std::unique_ptr<Mapping> Mapping::of_file(int, std::uint64_t, std::size_t) { return nullptr; }

Mapping::~Mapping() = default;

#endif
