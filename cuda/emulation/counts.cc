// What accesses cost, per source line. The lanes of a warp that run one instruction together make one
// request. Of shared memory it takes as many wavefronts as the worst bank has different words; of device
// memory as many sectors of 32 bytes as it touches. Ideal is what as many bytes take at least.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <tuple>
#include <utility>

#include "check.h"
#include "options.h"

namespace emulation {

namespace {

struct Record {
  const void* pc;
  std::uintptr_t address;
  std::uint32_t bytes;
  bool shared;
  std::uint8_t lane;
  std::uint32_t occurrence;  // how often this lane ran this instruction before, since the lanes last met
};

struct Counts {
  std::uint64_t requests = 0, cost = 0, ideal = 0;
};

// Of the warps of the block that runs; grids run one at a time when checking.
struct Log {
  std::vector<Record> records;
  std::map<std::tuple<const void*, bool, unsigned>, std::uint32_t> occurrences;  // instruction, space, lane
};
Log* logs() {
  static Log* const all = new Log[kMaxWarps];
  return all;
}

using Key = std::pair<const void*, bool>;  // instruction, whether of shared memory
std::map<Key, Counts>& counts() {
  static auto& all = *new std::map<Key, Counts>;
  return all;
}

constexpr unsigned kBanks = 32, kWord = 4, kSector = 32;

// Lanes that go together: 128 bytes' worth, if each gives its whole width.
unsigned lanes_of_wavefront(std::uint32_t bytes) { return bytes >= 16 ? 8 : bytes >= 8 ? 16 : 32; }

void count_shared(const Record* begin, const Record* end, Counts* counts) {
  std::vector<std::uintptr_t> words;
  const unsigned lanes = lanes_of_wavefront(begin->bytes);
  for (const Record* r = begin; r < end;) {
    words.clear();
    const unsigned group = r->lane / lanes;
    for (; r < end && r->lane / lanes == group; r++) {
      for (std::uintptr_t word = r->address / kWord; word * kWord < r->address + r->bytes; word++)
        words.push_back(word);
    }
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());
    std::uint64_t of_bank[kBanks] = {}, worst = 0;
    for (std::uintptr_t word : words) worst = std::max(worst, ++of_bank[word % kBanks]);
    counts->cost += worst;
    counts->ideal += (words.size() + kBanks - 1) / kBanks;
  }
}

void count_device(const Record* begin, const Record* end, Counts* counts) {
  std::vector<std::pair<std::uintptr_t, std::uintptr_t>> ranges;
  for (const Record* r = begin; r < end; r++) ranges.push_back({r->address, r->address + r->bytes});
  std::sort(ranges.begin(), ranges.end());
  std::uintptr_t covered = 0, next_sector = 0;
  std::uint64_t bytes = 0, sectors = 0;
  for (const auto& [first, last] : ranges) {
    const std::uintptr_t from = std::max(first, covered);
    if (last > from) bytes += last - from;
    covered = std::max(covered, last);
    const std::uintptr_t sector = std::max(first / kSector, next_sector),
                         end_sector = (last + kSector - 1) / kSector;
    if (end_sector > sector) sectors += end_sector - sector;
    next_sector = std::max(next_sector, end_sector);
  }
  counts->cost += sectors;
  counts->ideal += (bytes + kSector - 1) / kSector;
}

}  // namespace

bool is_counting() {
  static const bool wanted = options().counts && std::atexit(write_counts) == 0;
  return wanted;
}

void count_access(Thread* thread, const void* p, std::size_t bytes, bool shared, const void* pc) {
  Log& log = logs()[thread->warp->number];
  const auto address = reinterpret_cast<std::uintptr_t>(p) -
                       (shared ? reinterpret_cast<std::uintptr_t>(thread->block->shared) : 0);
  log.records.push_back({pc, address, std::uint32_t(bytes), shared, std::uint8_t(thread->lane),
                         log.occurrences[{pc, shared, thread->lane}]++});
}

void count_requests(Warp* warp) {
  Thread* const running = std::exchange(current, nullptr);  // nothing below is an access of the kernel
  Log& log = logs()[warp->number];
  auto request = [](const Record& r) { return std::make_tuple(r.pc, r.shared, r.occurrence); };
  std::sort(log.records.begin(), log.records.end(), [&](const Record& a, const Record& b) {
    return request(a) != request(b) ? request(a) < request(b) : a.lane < b.lane;
  });
  const Record* end = log.records.data() + log.records.size();
  for (const Record* r = log.records.data(); r < end;) {
    const Record* next = r;
    while (next < end && request(*next) == request(*r)) next++;
    Counts& line = counts()[{r->pc, r->shared}];
    line.requests++;
    (r->shared ? count_shared : count_device)(r, next, &line);
    r = next;
  }
  log.records.clear();
  log.occurrences.clear();
  current = running;
}

void forget_requests() {
  for (unsigned i = 0; i < kMaxWarps; i++) {
    logs()[i].records.clear();
    logs()[i].occurrences.clear();
  }
}

void write_counts() {
  std::lock_guard<std::mutex> lock(check_mutex);
  if (counts().empty()) return;
  std::vector<const void*> pcs;
  for (const auto& [key, value] : counts()) pcs.push_back(key.first);
  const std::vector<std::string> lines = source_lines(pcs);
  std::map<std::pair<std::string, bool>, Counts> by_line;
  std::size_t i = 0;
  for (const auto& [key, value] : counts()) {
    Counts& line = by_line[{lines[i++], key.second}];
    line.requests += value.requests;
    line.cost += value.cost;
    line.ideal += value.ideal;
  }
  counts().clear();
  FILE* file = std::fopen(options().counts, "a");
  if (!file) return;
  for (const auto& [line, value] : by_line) {
    const char* space = line.second ? "shared" : "global";
    std::fprintf(
        file, "{\"line\": \"%s\", \"space\": \"%s\", \"requests\": %llu, \"cost\": %llu, \"ideal\": %llu}\n",
        line.first.c_str(), space, static_cast<unsigned long long>(value.requests),
        static_cast<unsigned long long>(value.cost), static_cast<unsigned long long>(value.ideal));
  }
  std::fclose(file);
}

}  // namespace emulation
