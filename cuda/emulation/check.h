// The checked build: kernels compiled with -fsanitize=thread, whose calls, one for each access of memory,
// come to sanitizer.cc and not to libtsan.
#pragma once
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "execution.h"

namespace emulation {

// Whether the kernels of this process were compiled so. Grids then run one at a time, on one thread of the
// host.
extern bool checking;

// Held by the grid that runs, when checking, and by who reads what was counted.
extern std::mutex check_mutex;

// What follows is called only when checking.

enum class Access { read, write, atomic };

void check_launch(const Launch& launch);
void check_block_begun();
void check_barrier(Block* block);
void check_block_abandoned();
// By the running thread, if a kernel runs.
void check_access(const void* p, std::size_t bytes, Access access, const void* pc);
void check_copy_issued(Thread* thread, const AsyncCopy& copy);
void check_copy_landed(Thread* thread, const AsyncCopy& copy);

// ---- counts, per source line, of what accesses cost (counts.cc)

bool is_counting();
void count_access(Thread* thread, const void* p, std::size_t bytes, bool shared, const void* pc);
// The lanes of the warp are at one point: what each did first since the last such point was one request, and
// so on.
void count_requests(Warp* warp);
void forget_requests();
// Appends the counts to the file of TRAINFORMER_CUDA_STATS, and starts anew.
void write_counts();

// ---- where an instruction comes from (source_line.cc)

// file:line, as far as the binary tells: the innermost that is neither of the emulation nor of the compiler.
std::string source_line(const void* pc);
std::vector<std::string> source_lines(const std::vector<const void*>& pcs);

}  // namespace emulation
