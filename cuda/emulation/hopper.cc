// Barriers in shared memory, tiles, and what a block has to leave behind.
#include "hopper.h"

#include <algorithm>
#include <cstring>

#include "async_units.h"
#include "memory.h"
#include "options.h"

namespace emulation {

void sync_some(unsigned number, unsigned threads) {
  meet_some(units().named[number], "sync_some", threads, CALLER, [] {});
}

// ---- barriers in shared memory

namespace {

struct Barrier {
  std::int32_t bytes;  // still to come
  std::uint32_t arrivals : 14, pending : 15, parity : 1, made : 1;
  std::uint32_t fresh : 1;  // never written
};
static_assert(sizeof(Barrier) == 8);

Barrier& barrier_at(std::uint32_t address, const char* operation, const void* pc) {
  auto* barrier = reinterpret_cast<Barrier*>(at_shared(address));
  require_shared(barrier, sizeof *barrier, operation, pc);
  return *barrier;
}
Barrier& usable_barrier(std::uint32_t address, const char* operation, const void* pc) {
  Barrier& barrier = barrier_at(address, operation, pc);
  if (barrier.fresh || !barrier.made)
    fail("%s at %s: no barrier was made there", operation, source_line(pc).c_str());
  if (units().unfenced) fail("%s at %s: the barrier lacks its fence", operation, source_line(pc).c_str());
  return barrier;
}

void end_phase_if_complete(Barrier& barrier, std::uint32_t address) {
  if (barrier.pending || barrier.bytes) return;
  barrier.parity ^= 1;
  barrier.pending = barrier.arrivals;
  auto& waits = units().waits;
  const auto ended = std::stable_partition(waits.begin(), waits.end(), [&](const BarrierWait& wait) {
    return wait.barrier != address || wait.parity == int(barrier.parity);
  });
  for (auto wait = ended; wait != waits.end(); ++wait)
    make_ready(wait->thread->warp, wait->thread->block, 1u << wait->thread->lane);
  waits.erase(ended, waits.end());
}

}  // namespace

void barrier_init(std::uint32_t address, int arrivals) {
  Barrier& barrier = barrier_at(address, "barrier_init", CALLER);
  barrier = {};
  barrier.made = 1;
  barrier.arrivals = barrier.pending = unsigned(arrivals);
  units().unfenced = true;
}

void barrier_init_fence() { units().unfenced = false; }

void barrier_arrive(std::uint32_t address, int expected_bytes) {
  const void* pc = CALLER;
  Barrier& barrier = usable_barrier(address, "barrier_arrive", pc);
  if (!barrier.pending)
    fail("barrier_arrive at %s: more arrivals than the %u of a phase", source_line(pc).c_str(),
         barrier.arrivals);
  barrier.bytes += expected_bytes;
  barrier.pending--;
  end_phase_if_complete(barrier, address);
}

void barrier_wait(std::uint32_t address, int parity) {
  const void* pc = CALLER;
  Barrier& barrier = usable_barrier(address, "barrier_wait", pc);
  if (int(barrier.parity) != parity) return;
  units().waits.push_back({current, address, parity, pc});
  make_waiting(current);
  wait_until_ready();
}

// ---- tiles

void load_tile(std::uint32_t shared, const TensorMap& map, std::uint32_t barrier, int rank,
               const int (&at)[4]) {
  const void* pc = CALLER;
  usable_barrier(barrier, "load_tile", pc);
  if (rank != map.rank)
    fail("load_tile at %s: %d coordinates in a tensor of %d axes", source_line(pc).c_str(), rank, map.rank);
  const TileCopy tile{map, shared, barrier, {at[0], at[1], at[2], at[3]}, pc};
  if (shared % kAtom)
    fail("load_tile at %s: the tile does not start an atom of the swizzle", source_line(pc).c_str());
  require_shared(at_shared(shared), kAtom, "load_tile", pc);
  require_shared(at_shared(shared + tile.bytes() - kAtomRow), kAtomRow, "load_tile", pc);
  for (const Warpgroup& warpgroup : units().warpgroups) {
    for (const Product& product : warpgroup.products) {
      const std::uint32_t end = shared + tile.bytes();
      if (product.a.overlaps(shared, end) || product.b.overlaps(shared, end))
        fail("load_tile at %s overwrites what the product at %s reads, which is under way",
             source_line(pc).c_str(), source_line(product.pc).c_str());
    }
  }
  units().tiles.push_back(tile);
  if (options().early_copies) units().land_one([](std::size_t count) { return count - 1; });
}

void AsyncUnits::land(std::size_t index) {
  const TileCopy tile = tiles[index];
  tiles.erase(tiles.begin() + std::ptrdiff_t(index));
  const TensorMap& map = tile.map;
  for (std::uint32_t row = 0; row < tile.rows(); row++) {
    bool inside = true;
    std::int64_t begin = 0;
    std::uint32_t left = row;
    for (int axis = 1; axis < map.rank; axis++) {
      const std::int64_t i = tile.at[axis] + std::int64_t(left % map.box[axis]);
      left /= map.box[axis];
      inside = inside && i >= 0 && std::uint64_t(i) < map.dims[axis];
      begin += i * std::int64_t(map.strides[axis - 1]);
    }
    for (std::uint32_t column = 0; column < map.box[0]; column++) {
      const std::int64_t x = tile.at[0] + std::int64_t(column);
      char* to = at_shared(swizzled(tile.to + row * kAtomRow + column * 2));
      if (inside && x >= 0 && std::uint64_t(x) < map.dims[0])
        std::memcpy(to, map.data + begin + x * 2, 2);
      else
        std::memset(to, 0, 2);
    }
  }
  Barrier& barrier = usable_barrier(tile.barrier, "load_tile", tile.pc);
  barrier.bytes -= std::int32_t(tile.bytes());
  if (barrier.bytes < 0 && !barrier.pending)
    fail("load_tile at %s brings more bytes than its barrier expects", source_line(tile.pc).c_str());
  end_phase_if_complete(barrier, tile.barrier);
}

// ---- the end of a block

void AsyncUnits::clear() {
  tiles.clear(), waits.clear(), writers.clear();
  unfenced = false;
  for (Meeting& meeting : named) meeting.waiting.clear();
  for (Warpgroup& warpgroup : warpgroups) {
    warpgroup.meeting.waiting.clear(), warpgroup.products.clear(), warpgroup.groups.clear(),
        warpgroup.sums.clear();
    warpgroup.fenced = false;
  }
}

void AsyncUnits::require_idle() const {
  if (!tiles.empty())
    fail("a block ends while load_tile at %s is under way", source_line(tiles[0].pc).c_str());
  for (const Warpgroup& warpgroup : warpgroups) {
    if (!warpgroup.products.empty())
      fail("a block ends while product_bf16 at %s is under way",
           source_line(warpgroup.products[0].pc).c_str());
  }
}

void AsyncUnits::report_deadlock() const {
  const auto report = [](const Meeting& meeting) {
    if (!meeting.waiting.empty())
      fail("deadlock: %zu of %u threads come to %s at %s", meeting.waiting.size(), meeting.expected,
           meeting.operation, source_line(meeting.pc).c_str());
  };
  for (const Warpgroup& warpgroup : warpgroups) report(warpgroup.meeting);
  for (const Meeting& meeting : named) report(meeting);
  if (!waits.empty())
    fail("deadlock: %zu threads at barriers; thread %u waits at %s for the end of a phase of parity %d",
         waits.size(), waits[0].thread->number, source_line(waits[0].pc).c_str(), waits[0].parity);
}

// ---- tensor maps

std::string make_tensor_map(TensorMap* map, const void* data, int rank, const std::uint64_t* dims,
                            const std::uint64_t* strides, const std::uint32_t* box) {
  const auto refused = [](const char* why) { return "invalid tensor map: " + std::string(why); };
  *map = {static_cast<const char*>(data), rank, {}, {}, {}};
  std::uint64_t bytes = dims[0] * 2;
  for (int i = 0; i < rank; i++) {
    if (dims[i] == 0 || dims[i] > std::uint64_t{1} << 32) return refused("dimensions");
    if (i == 0 ? box[0] != 64 : box[i] == 0 || box[i] > 256) return refused("the box");
    map->dims[i] = dims[i], map->box[i] = box[i];
    if (i == 0) continue;
    if (strides[i - 1] % 16 || strides[i - 1] >> 40) return refused("strides");
    map->strides[i - 1] = strides[i - 1];
    bytes += (dims[i] - 1) * strides[i - 1];
  }
  if (reinterpret_cast<std::uintptr_t>(data) % 16) return refused("the address is no multiple of 16");
  return check_range(data, bytes);
}

}  // namespace emulation
