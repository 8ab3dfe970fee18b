#include "engine.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "modules.h"

namespace {

constexpr double kMaxElements = 1099511627776.0;  // 2⁴⁰: sizes and their products stay exact in a double

std::string text(double x) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.17g", x);
  return buffer;
}

bool is_count(double x) { return x >= 0 && x <= kMaxElements && x == std::floor(x); }

Dtype checked_dtype(double dtype) {
  if (!(is_count(dtype) && dtype < kDtypes))
    throw EngineError("ERR_DTYPE", "dtype must be 0, 1 or 2; got " + text(dtype));
  return Dtype(int(dtype));
}

const char kNoElements[] = "the tensor is on a device that has no elements: shapes only";

const char* name_of(Dtype dtype) {
  static const char* const names[kDtypes] = {"f32", "bf16", "i32"};
  return names[int(dtype)];
}

}  // namespace

void Device::finish() {
  if (imagined) return;
  Command& command = queue.next();
  command.kind = Command::kNotify;
  command.ticket = 0;
  command.from = nullptr;
  queue.submit();
  queue.drain();
}

void Device::trim() {
  finish();
  arena.trim();
}

Engine::Engine(std::function<void(std::uint64_t)> on_ticket) : on_ticket_(std::move(on_ticket)) {
  devices_.push_back(std::make_unique<Device>(host_memory(), kCachesHostMemory, host_executor(), on_ticket_));
  const KernelTable& table = *isas().front().f32;
  for (int i = 0; i < table.count; ++i) signatures_.push_back(Signature::parse(table.kernels[i].signature));
  for (const Isa& candidate : isas())
    if (candidate.supported && candidate.preferred) isa_ = &candidate;
}

// ---- devices

Device& Engine::device(double number) {
  if (!is_count(number) || number >= double(devices_.size()))
    throw EngineError("ERR_ARGUMENT", "no device " + text(number));
  return *devices_[std::size_t(number)];
}

int Engine::open_device(const std::string& path, double index) {
  const DeviceModule& module = load_module(path);
  for (std::size_t i = 1; i < devices_.size(); ++i)
    if (devices_[i]->module == &module && double(devices_[i]->index) == index) return int(i);
  int count = 0;
  const auto refuse = [](const std::string& why) -> void { throw EngineError("ERR_NO_DEVICE", why); };
  if (const char* why = module.probe(&count)) refuse(why);
  if (!is_count(index) || index >= count)
    refuse("there is no device " + text(index) + ": " + std::to_string(count) + " found, numbered from 0");
  DeviceFacts facts{};
  if (const char* why = module.facts(int(index), &facts)) refuse(why);
  DeviceSession* session = nullptr;
  if (const char* why = module.create(int(index), &session)) refuse(why);
  sessions_.emplace_back(session, module.destroy);
  const bool caches = !(facts.emulated && synchronous_);  // its checks then see the end of every tensor
  devices_.push_back(std::make_unique<Device>(device_memory(module, session, facts), caches,
                                              device_executor(module, session), on_ticket_));
  Device& opened = *devices_.back();
  opened.module = &module;
  opened.facts = facts;
  opened.index = int(index);
  opened.queue.set_synchronous(synchronous_);
  return int(devices_.size()) - 1;
}

int Engine::open_imagined() {
  for (std::size_t i = 0; i < devices_.size(); ++i)
    if (devices_[i]->imagined) return int(i);
  sessions_.emplace_back(nullptr, [](DeviceSession*) {});
  devices_.push_back(std::make_unique<Device>(imagined_memory(), true, host_executor(), on_ticket_));
  devices_.back()->imagined = true;
  return int(devices_.size()) - 1;
}

void Engine::mark_step(double number, bool begins) {
  Device& where = device(number);
  if (where.imagined) return;
  Command& command = where.queue.next();
  command.kind = begins ? Command::kBeginStep : Command::kEndStep;
  where.queue.submit();
}

void Engine::configure_device(double number, const char* name, double value) {
  Device& where = device(number);
  if (!where.module) throw EngineError("ERR_ARGUMENT", std::string("the processor has no setting ") + name);
  where.finish();
  if (const char* why = where.module->configure(sessions_[std::size_t(number) - 1].get(), name, value))
    throw EngineError("ERR_ARGUMENT", why);
}

DeviceSteps Engine::steps(std::size_t number) const {
  DeviceSteps steps{};
  if (devices_[number]->module) devices_[number]->module->steps(sessions_[number - 1].get(), &steps);
  return steps;
}

void Engine::reset_peak(double number) {
  Device& where = device(number);
  if (where.imagined) where.trim();  // so that the sizes of what went before do not count
  where.arena.reset_peak();
}

// ---- recording

void Engine::begin_recording() {
  if (recorder_.is_on()) throw EngineError("ERR_ARGUMENT", "calls are recorded already");
  for (const auto& each : devices_) each->finish();
  recorder_.begin();
}

const Recorder& Engine::end_recording() {
  recorder_.end();
  for (const auto& each : devices_) each->finish();
  return recorder_;
}

void Engine::submit(Command& command, Device& where, double taken_ms, const double* words, std::size_t count,
                    double kernel, double real) {
  if (recorder_.is_on()) {
    const auto number = std::find_if(devices_.begin(), devices_.end(),
                                     [&](const auto& each) { return each.get() == &where; }) -
                        devices_.begin();
    command.times = recorder_.add({double(command.kind), double(number), kernel, real, taken_ms, clock_ms(),
                                   double(where.arena.usage().live), double(count)},
                                  words);
  }
  where.queue.submit();
}

void Engine::set_synchronous(bool on) {
  synchronous_ = on;
  for (const auto& each : devices_) each->queue.set_synchronous(on);
}

void Engine::trim() {
  for (const auto& each : devices_) each->finish();
  reclaim();
  for (const auto& each : devices_) each->arena.trim();
}

void Engine::close() {
  for (const auto& each : devices_) each->queue.close();
}

// ---- handles: generation in the upper half, slot in the lower, so that a freed handle is never mistaken for
// a new one

Storage& Engine::find(double handle, const char* what, const char* argument) {
  const auto refuse = [&](const char* code, const std::string& why) {
    throw EngineError(code, std::string(what) + (argument ? std::string(": ") + argument : "") + ": " + why);
  };
  const bool integer = handle >= 0 && handle < 9007199254740992.0 && handle == std::floor(handle);
  const std::uint64_t bits = integer ? std::uint64_t(handle) : 0;
  const std::uint32_t slot = std::uint32_t(bits), generation = std::uint32_t(bits >> 32);
  if (!integer || slot >= slots_.size() || generation == 0)
    refuse("ERR_ARGUMENT", "not a tensor handle: " + text(handle));
  if (slots_[slot].generation != generation || !slots_[slot].storage)
    refuse("ERR_DISPOSED", "the tensor was freed");
  return *slots_[slot].storage;
}

Storage& Engine::find_usable(double handle, const char* what, const char* argument) {
  Storage& storage = find(handle, what, argument);
  if (storage.loan.holds && !storage.loan.holds())
    throw EngineError("ERR_DISPOSED",
                      std::string(what) + ": the array that the tensor adopted was transferred or resized");
  return storage;
}

std::int64_t Engine::insert(std::unique_ptr<Storage> storage) {
  if (free_slots_.empty()) {
    free_slots_.push_back(std::uint32_t(slots_.size()));
    slots_.emplace_back();
  }
  const std::uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  storage->references = 1;
  slots_[slot].storage = std::move(storage);
  ++tensors_;
  return std::int64_t(slots_[slot].generation) << 32 | slot;
}

std::int64_t Engine::allocate(double dtype_number, double length, double device_number) {
  const Dtype dtype = checked_dtype(dtype_number);
  if (!is_count(length))
    throw EngineError("ERR_ARGUMENT", "length must be a count of elements; got " + text(length));
  Device& where = device(device_number);
  reclaim();
  auto storage = std::make_unique<Storage>();
  storage->device = &where;
  storage->dtype = dtype;
  storage->length = Index(length);
  const std::size_t bytes = storage->bytes();
  storage->block = where.arena.allocate(bytes);
  if (!storage->block.data) {
    where.trim();
    storage->block = where.arena.allocate(bytes);
  }
  if (!storage->block.data)
    throw EngineError("ERR_OOM", "no memory for " + text(double(bytes)) + " bytes" +
                                     (where.module ? std::string(" on ") + where.facts.name : "") + "; " +
                                     text(double(where.arena.usage().live)) + " are in use by tensors");
  storage->data = storage->block.data;
  if (poison_ && !where.imagined) {
    const double taken = now_if_recording();
    Command& command = where.queue.next();
    command.kind = Command::kFill;
    command.to = storage->data;
    command.bytes = bytes;
    const double words[] = {double(bytes)};
    submit(command, where, taken, words, 1);
  }
  return insert(std::move(storage));
}

std::int64_t Engine::adopt(Dtype dtype, void* data, Index length, Loan loan) {
  reclaim();
  auto storage = std::make_unique<Storage>();
  storage->device = &host();
  storage->dtype = dtype;
  storage->length = length;
  // Of an empty array it may be null, which kernels take for an argument that was left out.
  alignas(64) static char nothing[64];
  storage->data = data ? static_cast<char*>(data) : nothing;
  storage->loan = std::move(loan);
  return insert(std::move(storage));
}

void Engine::free(double handle) {
  find(handle, "free");
  const std::uint32_t slot = std::uint32_t(std::uint64_t(handle));
  Storage* storage = slots_[slot].storage.release();
  slots_[slot].generation = (slots_[slot].generation + 1) & 0x1fffff;  // handle < 2⁵³
  if (slots_[slot].generation == 0) slots_[slot].generation = 1;
  free_slots_.push_back(slot);
  --tensors_;
  release(storage);
}

void Engine::release(Storage* storage) {
  if (--storage->references > 0) return;
  if (storage->block.data) storage->device->arena.release(storage->block);
  if (storage->loan.end) retired_.push_back({host().queue.submitted(), std::move(storage->loan.end)});
  delete storage;
  reclaim();
}

// Adopted memory belongs to JavaScript: it is let go once the commands that may use it have run.
void Engine::reclaim() {
  while (!retired_.empty() && retired_.front().after <= host().queue.finished()) {
    retired_.front().end_loan();
    retired_.pop_front();
  }
}

char* Engine::find_range(const char* what, Storage& storage, double offset, double length) {
  if (!is_count(offset) || !is_count(length) || offset + length > double(storage.length))
    throw EngineError("ERR_ARGUMENT", std::string(what) + ": elements " + text(offset) + " to " +
                                          text(offset + length) + " of a tensor of " +
                                          text(double(storage.length)));
  return storage.data + Index(offset) * kBytesPerElement[int(storage.dtype)];
}

Engine::Range Engine::pin(double handle, double offset, double length) {
  Storage& storage = find_usable(handle, "read");
  if (storage.device->imagined) throw EngineError("ERR_DEVICE", kNoElements);
  char* data = find_range("read", storage, offset, length);
  ++storage.references;
  return {&storage, data, std::size_t(Index(length) * kBytesPerElement[int(storage.dtype)])};
}

void Engine::write(double handle, double offset, Dtype dtype, const void* data, Index length) {
  Storage& storage = find_usable(handle, "write");
  if (storage.dtype != dtype)
    throw EngineError("ERR_DTYPE", std::string("write: tensor is ") + name_of(storage.dtype) + ", data is " +
                                       name_of(dtype));
  char* to = find_range("write", storage, offset, double(length));
  const std::size_t bytes = std::size_t(length * kBytesPerElement[int(dtype)]);
  if (bytes == 0 || storage.device->imagined) return;
  const double taken = now_if_recording();
  char* staged = static_cast<char*>(std::malloc(bytes));
  if (!staged) throw EngineError("ERR_OOM", "write: no memory for " + text(double(bytes)) + " bytes");
  std::memcpy(staged, data, bytes);
  Command& command = storage.device->queue.next();
  command.kind = Command::kWrite;
  command.to = to;
  command.from = staged;
  command.bytes = bytes;
  const double words[] = {double(bytes)};
  submit(command, *storage.device, taken, words, 1);
}

void Engine::copy(double from, double from_offset, double to, double to_offset, double length) {
  Storage& source = find_usable(from, "copy", "from");
  Storage& target = find_usable(to, "copy", "to");
  if (source.dtype != target.dtype)
    throw EngineError("ERR_DTYPE", std::string("copy: from is ") + name_of(source.dtype) + ", to is " +
                                       name_of(target.dtype));
  char* read = find_range("copy", source, from_offset, length);
  char* written = find_range("copy", target, to_offset, length);
  const std::size_t bytes = std::size_t(Index(length) * kBytesPerElement[int(source.dtype)]);
  if (source.device->imagined) throw EngineError("ERR_DEVICE", kNoElements);
  if (bytes == 0 || target.device->imagined) return;
  auto parcel = std::make_shared<Parcel>(bytes);
  if (!parcel->data) throw EngineError("ERR_OOM", "copy: no memory for " + text(double(bytes)) + " bytes");
  const auto enqueue = [&](Device& where, Command::Kind kind) {
    const double taken = now_if_recording(), words[] = {double(bytes)};
    Command& command = where.queue.next();
    command.kind = kind;
    command.from = read;
    command.to = written;
    command.bytes = bytes;
    command.parcel = parcel;
    submit(command, where, taken, words, 1);
  };
  enqueue(*source.device, Command::kSend);
  enqueue(*target.device, Command::kReceive);
}

void Engine::notify(std::uint64_t ticket, const Range& range, void* to) {
  Device& where = *range.storage->device;
  const double taken = now_if_recording(), words[] = {to ? double(range.bytes) : 0.0};
  Command& command = where.queue.next();
  command.kind = Command::kNotify;
  command.ticket = ticket;
  command.to = static_cast<char*>(to);
  command.from = to && range.bytes > 0 ? range.data : nullptr;
  command.bytes = range.bytes;
  submit(command, where, taken, words, 1);
}

void Engine::read_now(const Range& range, void* to) {
  notify(0, range, to);
  range.storage->device->queue.drain();
}

void Engine::throw_fault(Device& device) {
  KernelContext& context = device.queue.context();
  if (context.failed.load()) {
    const std::string message = std::string(device.facts.name) + ": " + context.failure;
    context.failed.store(false);
    throw EngineError("ERR_DEVICE", message);
  }
  if (!context.faulted.load()) return;
  const std::string message = "element " + std::to_string(context.fault_position) + " is " +
                              std::to_string(context.fault_value) + "; it must be in [0, " +
                              std::to_string(context.fault_limit) + ")";
  context.faulted.store(false);
  throw EngineError("ERR_INDEX", message);
}

void Engine::select_isa(const std::string& name) {
  for (const Isa& candidate : isas()) {
    if (name != candidate.name) continue;
    if (!candidate.supported) throw EngineError("ERR_ARGUMENT", "this processor does not have " + name);
    isa_ = &candidate;
    return;
  }
  std::string known;
  for (const Isa& candidate : isas()) known += (known.empty() ? "" : ", ") + std::string(candidate.name);
  throw EngineError("ERR_ARGUMENT", "isa must be one of " + known + "; got " + name);
}

void Engine::call(double kernel, double real_number, const double* words, std::size_t count) {
  const double taken = now_if_recording();
  const double* const given = words;
  const Dtype real = checked_dtype(real_number);
  if (real == Dtype::i32) throw EngineError("ERR_DTYPE", "kernels compute in f32 or bf16, not in i32");
  if (!is_count(kernel) || kernel >= double(signatures_.size()))
    throw EngineError("ERR_ARGUMENT", "no kernel " + text(kernel));
  const Signature& signature = signatures_[Index(kernel)];
  if (count == 0) throw EngineError("ERR_ARGUMENT", "a kernel has arguments");
  // The first parameter of every kernel is a tensor; it says where the call belongs.
  Device& where = *find(words[0], isas().front().f32->kernels[Index(kernel)].name).device;
  const bool is_f32 = real == Dtype::f32;
  const KernelTable& table =
      where.module ? *(is_f32 ? where.module->f32 : where.module->bf16) : *(is_f32 ? isa_->f32 : isa_->bf16);
  const KernelEntry& entry = table.kernels[Index(kernel)];

  Command& command = where.queue.next();
  command.kind = Command::kKernel;
  command.kernel = &entry;
  Index sizes[kMaxViews * kMaxRank];
  std::fill_n(sizes, signature.symbols.size(), -1);
  const double* end = words + count;
  View* view = command.views;
  double* scalar = command.scalars;
  for (const Parameter& parameter : signature.parameters) {
    if (words == end) throw EngineError("ERR_ARGUMENT", std::string(entry.name) + ": too few arguments");
    if (parameter.type != Parameter::kNumber) {
      decode_view(parameter, signature, real, entry.name, where, words, end, *view++, sizes);
      continue;
    }
    const double number = *words++;
    const bool fits = parameter.type_name == "Index"
                          ? std::fabs(number) <= 9007199254740991.0 && number == std::floor(number)
                          : !std::isnan(number);
    if (!fits)
      throw EngineError("ERR_ARGUMENT",
                        std::string(entry.name) + ": " + parameter.name + " is " + text(number));
    *scalar++ = number;
  }
  if (words != end) throw EngineError("ERR_ARGUMENT", std::string(entry.name) + ": too many arguments");
  if (where.imagined) return;
  submit(command, where, taken, given, count, kernel, real_number);
}

void Engine::decode_view(const Parameter& parameter, const Signature& signature, Dtype real,
                         const char* kernel, const Device& device, const double*& words, const double* end,
                         View& view, Index* sizes) {
  const auto refuse = [&](const char* code, const std::string& why) {
    throw EngineError(code, std::string(kernel) + ": " + parameter.name + " " + why);
  };
  const double handle = *words++;
  if (handle == -1 && parameter.optional) {
    view.data = nullptr;
    return;
  }
  const int rank = int(parameter.sizes.size());
  if (end - words < 1 + 2 * rank) refuse("ERR_ARGUMENT", "is cut short");
  Storage& storage = find_usable(handle, kernel, parameter.name.c_str());
  if (storage.device != &device) refuse("ERR_DEVICE", "is on another device than the other tensors");
  const Dtype wanted = dtype_of(parameter.type, real);
  if (storage.dtype != wanted)
    refuse("ERR_DTYPE", std::string("must be ") + name_of(wanted) + "; got " + name_of(storage.dtype));

  const double offset = words[0], *size = words + 1, *stride = words + 1 + rank;
  words += 1 + 2 * rank;
  if (!is_count(offset)) refuse("ERR_ARGUMENT", "has offset " + text(offset));
  double last = offset;  // the furthest element
  double steps = 1;      // of a loop over all axes
  bool empty = false, overlaps = false;
  for (int axis = 0; axis < rank; ++axis) {
    if (!is_count(size[axis]) || !is_count(stride[axis]))
      refuse("ERR_ARGUMENT", "has size " + text(size[axis]) + " and stride " + text(stride[axis]));
    const int symbol = parameter.sizes[axis];
    const Index got = Index(size[axis]), known = symbol < 0 ? -symbol - 1 : sizes[symbol];
    if (known >= 0 && got != known)
      refuse("ERR_SHAPE", "has size " + text(got) + " where " +
                              (symbol < 0 ? "the kernel" : signature.symbols[symbol]) + " = " + text(known));
    if (symbol >= 0) sizes[symbol] = got;
    view.size[axis] = got;
    view.stride[axis] = Index(stride[axis]);
    empty |= got == 0;
    steps *= got > 0 ? double(got) : 1;
    last += (got - 1) * stride[axis];
    overlaps |= got > 1 && stride[axis] == 0;
  }
  if (steps > kMaxElements) refuse("ERR_ARGUMENT", "has too many elements");
  if (overlaps && !empty && parameter.is_overwritten())
    refuse("ERR_ARGUMENT", "is overwritten, so each element must have its own place");
  if (rank > 0 && !parameter.strided && view.size[rank - 1] > 1 && view.stride[rank - 1] != 1)
    refuse("ERR_ARGUMENT", "must be contiguous along its last axis");
  if (empty ? offset > double(storage.length) : last >= double(storage.length))
    refuse("ERR_ARGUMENT",
           "reaches element " + text(last) + " of a tensor of " + text(double(storage.length)));
  view.data = storage.data + Index(offset) * kBytesPerElement[int(storage.dtype)];
}
