// The border to JavaScript: a handful of functions on integer handles. No op is named here.
#include <napi.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <system_error>
#include <unordered_map>

#include "addon_text.h"
#include "engine.h"
#include "mapping.h"

namespace {

constexpr std::size_t kWords = 256;  // more than the longest signature needs
constexpr std::size_t kLargeBuffer = std::size_t{1} << 26;
constexpr std::size_t kLargestView = 0xffffffff;  // bytes: more is no Buffer in every Node.js

Napi::Error coded_error(Napi::Env env, const char* code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

class Addon : public Napi::Addon<Addon> {
 public:
  Addon(Napi::Env env, Napi::Object exports)
      : engine_(std::make_shared<Engine>([this](std::uint64_t ticket) { announce(ticket); })) {
    DefineAddon(exports, {
                             InstanceMethod("info", &Addon::info),
                             InstanceMethod("open", &Addon::open),
                             InstanceMethod("configure", &Addon::configure),
                             InstanceMethod("alloc", &Addon::alloc),
                             InstanceMethod("adopt", &Addon::adopt),
                             InstanceMethod("free", &Addon::free),
                             InstanceMethod("write", &Addon::write),
                             InstanceMethod("read", &Addon::read),
                             InstanceMethod("copy", &Addon::copy),
                             InstanceMethod("step", &Addon::step),
                             InstanceMethod("call", &Addon::call),
                             InstanceMethod("map", &Addon::map),
                             InstanceMethod("resetPeak", &Addon::reset_peak),
                             InstanceMethod("record", &Addon::record),
                         });
    exports.Set("text", text_exports(env));
    const auto complete = [](napi_env listening, napi_value, void* context, void* ticket) {
      if (listening) static_cast<Addon*>(context)->complete(reinterpret_cast<std::uint64_t>(ticket));
    };
    napi_value name = Napi::String::New(env, "trainformer");
    if (napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this, complete,
                                        &completions_) != napi_ok)
      throw Napi::Error::New(env, "cannot listen to the compute thread");
    napi_unref_threadsafe_function(env, completions_);
    // Hooks run last in, first out: ours ends the compute thread before the function above goes away.
    napi_add_env_cleanup_hook(
        env, [](void* self) { static_cast<Addon*>(self)->close(); }, this);
    external_buffers_ = allows_external_buffers(env);
    words_ = Napi::Persistent(Napi::Float64Array::New(env, kWords).As<Napi::Object>());
  }

 private:
  struct Reading {
    Napi::Promise::Deferred deferred;
    Engine::Range range;
    Napi::Reference<Napi::ArrayBuffer> copy;  // empty: hand out a view of the tensor's own memory
  };

  // Runs `body` and turns what it throws into a coded JavaScript error.
  template <class F>
  Napi::Value guarded(const Napi::CallbackInfo& info, const F& body) {
    Napi::Env env = info.Env();
    try {
      if (!engine_) throw EngineError("ERR_CANCELLED", "the engine of this thread was shut down");
      return body(env);
    } catch (const EngineError& error) {
      throw coded_error(env, error.code, error.what());
    } catch (const std::bad_alloc&) {
      throw coded_error(env, "ERR_OOM", "out of memory");
    } catch (const std::system_error& error) {
      throw coded_error(env, "ERR_OOM", std::string("cannot start a thread: ") + error.what());
    }
  }

  static double number(const Napi::CallbackInfo& info, std::size_t i, const char* name) {
    if (i >= info.Length() || !info[i].IsNumber())
      throw EngineError("ERR_ARGUMENT", std::string(name) + " must be a number");
    return info[i].As<Napi::Number>().DoubleValue();
  }

  // The elements of a typed array and the dtype that they are.
  struct Elements {
    Dtype dtype;
    void* data;
    Index length;
  };
  static Elements elements(const Napi::CallbackInfo& info, std::size_t i) {
    if (i >= info.Length() || !info[i].IsTypedArray())
      throw EngineError("ERR_ARGUMENT", "data must be a Float32Array, Int32Array or Uint16Array");
    napi_typedarray_type type;
    std::size_t length;
    void* data;
    if (napi_get_typedarray_info(info.Env(), info[i], &type, &length, &data, nullptr, nullptr) != napi_ok)
      throw EngineError("ERR_ARGUMENT", "data cannot be read");
    switch (type) {
      case napi_float32_array:
        return {Dtype::f32, data, Index(length)};
      case napi_int32_array:
        return {Dtype::i32, data, Index(length)};
      case napi_uint16_array:
        return {Dtype::bf16, data, Index(length)};
      default:
        throw EngineError("ERR_DTYPE", "data must be a Float32Array, Int32Array or Uint16Array");
    }
  }

  Napi::Value info(const Napi::CallbackInfo& call_info) {
    return guarded(call_info, [&](Napi::Env env) -> Napi::Value {
      Napi::Object result = Napi::Object::New(env);
      Napi::Array isa_list = Napi::Array::New(env);
      for (const Isa& isa : isas()) {
        Napi::Object entry = Napi::Object::New(env);
        entry["name"] = isa.name;
        entry["supported"] = isa.supported;
        entry["multipliesBf16"] = isa.bf16->multiplies_bf16;
        isa_list[isa_list.Length()] = entry;
      }
      Napi::Array kernels = Napi::Array::New(env);
      const KernelTable& table = *isas().front().f32;
      for (int i = 0; i < table.count; ++i) {
        Napi::Object kernel = Napi::Object::New(env);
        Napi::Array parameters = Napi::Array::New(env);
        for (const Parameter& p : engine_->signatures()[i].parameters) {
          Napi::Object parameter = Napi::Object::New(env);
          parameter["name"] = p.name;
          parameter["type"] = p.type_name;
          parameter["rank"] = double(p.sizes.size());
          parameters[parameters.Length()] = parameter;
        }
        kernel["name"] = table.kernels[i].name;
        kernel["parameters"] = parameters;
        kernels[std::uint32_t(i)] = kernel;
      }
      Napi::Array devices = Napi::Array::New(env);
      for (std::size_t i = 0; i < engine_->devices().size(); ++i)
        devices[std::uint32_t(i)] = describe(env, *engine_->devices()[i], engine_->steps(i));
      result["isa"] = engine_->isa().name;
      result["isas"] = isa_list;
      result["threads"] = thread_count();
      result["cores"] = available_cores();
      result["externalBuffers"] = external_buffers_;
      result["kernels"] = kernels;
      result["devices"] = devices;
      result["tensors"] = double(engine_->tensors());
      result["words"] = words_.Value();
      return result;
    });
  }

  static Napi::Object describe(Napi::Env env, const Device& device, const DeviceSteps& steps) {
    const ArenaUsage& usage = device.arena.usage();
    Napi::Object memory = Napi::Object::New(env);
    memory["liveBytes"] = double(usage.live);
    memory["peakBytes"] = double(usage.peak);
    memory["reservedBytes"] = double(usage.reserved);
    Napi::Object result = Napi::Object::New(env);
    result["memory"] = memory;
    if (device.module) {
      const DeviceFacts& facts = device.facts;
      result["name"] = facts.name;
      result["index"] = device.index;
      result["capability"] = facts.capability;
      result["multiprocessors"] = facts.multiprocessors;
      result["memoryBytes"] = double(facts.memory_bytes);
      result["freeBytes"] = double(facts.free_bytes);
      result["driverVersion"] = facts.driver_version;
      result["runtimeVersion"] = facts.runtime_version;
      result["emulated"] = facts.emulated;
      Napi::Object counts = Napi::Object::New(env);
      counts["replayed"] = double(steps.replayed);
      counts["recorded"] = double(steps.recorded);
      result["steps"] = counts;
    }
    return result;
  }

  // open(path, index): the number of a device of the module at `path`; open(): of one without elements
  Napi::Value open(const Napi::CallbackInfo& info) {
    return guarded(info, [&](Napi::Env env) {
      if (info.Length() == 0) return Napi::Number::New(env, engine_->open_imagined());
      if (!info[0].IsString()) throw EngineError("ERR_ARGUMENT", "path must be a string");
      const std::string path = info[0].As<Napi::String>();
      return Napi::Number::New(env, engine_->open_device(path, number(info, 1, "index")));
    });
  }

  // configure(name, value): isa, threads, poison, synchronous, externalBuffers, externalBytes, trim;
  // configure(name, value, device): what that device's module knows
  Napi::Value configure(const Napi::CallbackInfo& info) {
    return guarded(info, [&](Napi::Env env) -> Napi::Value {
      if (info.Length() < 2 || !info[0].IsString())
        throw EngineError("ERR_ARGUMENT", "configure takes a name and a value");
      const std::string name = info[0].As<Napi::String>();
      const auto flag = [&] { return info[1].ToBoolean().Value(); };
      if (info.Length() > 2) {
        engine_->configure_device(number(info, 2, "device"), name.c_str(), number(info, 1, "value"));
      } else if (name == "isa" && info[1].IsString()) {
        engine_->select_isa(info[1].As<Napi::String>());
      } else if (name == "threads") {
        const double count = number(info, 1, "threads");
        if (!(count >= 1 && count <= 256 && count == double(int(count))))
          throw EngineError("ERR_ARGUMENT", "threads must be an integer from 1 to 256");
        set_thread_count(int(count));
      } else if (name == "poison") {
        engine_->set_poison(flag());
      } else if (name == "synchronous") {
        engine_->set_synchronous(flag());
      } else if (name == "externalBuffers") {
        external_buffers_ = flag() && allows_external_buffers(env);
      } else if (name == "trim") {
        engine_->trim();
      } else if (name == "externalBytes") {
        const double bytes = number(info, 1, "externalBytes");
        if (!(std::fabs(bytes) <= 9007199254740991.0))
          throw EngineError("ERR_ARGUMENT", "externalBytes must be a safe integer");
        Napi::MemoryManagement::AdjustExternalMemory(env, std::int64_t(bytes));
      } else {
        throw EngineError("ERR_ARGUMENT", "no such setting: " + name);
      }
      return env.Undefined();
    });
  }

  Napi::Value alloc(const Napi::CallbackInfo& info) {
    return guarded(info, [&](Napi::Env env) {
      return Napi::Number::New(env,
                               double(engine_->allocate(number(info, 0, "dtype"), number(info, 1, "length"),
                                                        info.Length() > 2 ? number(info, 2, "device") : 0)));
    });
  }

  Napi::Value adopt(const Napi::CallbackInfo& info) {
    return guarded(info, [&](Napi::Env env) {
      const Elements given = elements(info, 0);
      const Napi::Object array = info[0].As<Napi::Object>();
      if (array.Get("buffer").As<Napi::Object>().Get("resizable").ToBoolean())
        throw EngineError("ERR_ARGUMENT", "the buffer of an adopted array must not be resizable");
      auto keep = std::make_shared<Napi::ObjectReference>(Napi::Persistent(array));
      keep->SuppressDestruct();
      const auto holds = [keep, given] {
        std::size_t length;
        void* data;
        return napi_get_typedarray_info(keep->Env(), keep->Value(), nullptr, &length, &data, nullptr,
                                        nullptr) == napi_ok &&
               data == given.data && Index(length) == given.length;
      };
      const auto end = [keep] { keep->Reset(); };
      return Napi::Number::New(env,
                               double(engine_->adopt(given.dtype, given.data, given.length, {holds, end})));
    });
  }

  Napi::Value free(const Napi::CallbackInfo& info) {
    return guarded(info, [&](Napi::Env env) {
      engine_->free(number(info, 0, "handle"));
      return env.Undefined();
    });
  }

  Napi::Value write(const Napi::CallbackInfo& info) {
    return guarded(info, [&](Napi::Env env) {
      const Elements given = elements(info, 2);
      engine_->write(number(info, 0, "handle"), number(info, 1, "offset"), given.dtype, given.data,
                     given.length);
      return env.Undefined();
    });
  }

  // copy(from, fromOffset, to, toOffset, length): between any two devices
  Napi::Value copy(const Napi::CallbackInfo& info) {
    return guarded(info, [&](Napi::Env env) {
      engine_->copy(number(info, 0, "from"), number(info, 1, "fromOffset"), number(info, 2, "to"),
                    number(info, 3, "toOffset"), number(info, 4, "length"));
      return env.Undefined();
    });
  }

  // step(device, begins)
  Napi::Value step(const Napi::CallbackInfo& info) {
    return guarded(info, [&](Napi::Env env) {
      engine_->mark_step(number(info, 0, "device"), info.Length() > 1 && info[1].ToBoolean());
      return env.Undefined();
    });
  }

  // read(handle, offset, length, mode): an ArrayBuffer of what the tensor holds when everything enqueued so
  // far is done.
  //   0 a promise of a view of the tensor's own memory (host)    1 a promise of a copy    2 waits, and
  //   returns a copy
  Napi::Value read(const Napi::CallbackInfo& info) {
    return guarded(info, [&](Napi::Env env) -> Napi::Value {
      const double mode = number(info, 3, "mode");
      if (mode != 0 && mode != 1 && mode != 2) throw EngineError("ERR_ARGUMENT", "mode must be 0, 1 or 2");
      const Engine::Range range =
          engine_->pin(number(info, 0, "handle"), number(info, 1, "offset"), number(info, 2, "length"));
      if (mode == 2) return read_now(env, range);
      const bool view = mode == 0 && range.is_on_host() && external_buffers_ && !range.storage->loan.holds &&
                        range.bytes <= kLargestView;
      Reading reading{Napi::Promise::Deferred::New(env), range, {}};
      void* to = nullptr;
      if (!view) {
        Napi::ArrayBuffer buffer = new_buffer(env, range);
        reading.copy = Napi::Persistent(buffer);
        to = buffer.Data();
      }
      const Napi::Promise promise = reading.deferred.Promise();
      if (readings_.empty()) napi_ref_threadsafe_function(env, completions_);
      const std::uint64_t ticket = ++last_ticket_;
      readings_.emplace(ticket, std::move(reading));
      engine_->notify(ticket, range, to);
      return promise;
    });
  }

  Napi::Value read_now(Napi::Env env, const Engine::Range& range) {
    Napi::ArrayBuffer buffer = new_buffer(env, range);
    engine_->read_now(range, buffer.Data());
    Device& device = *range.storage->device;
    engine_->release(range.storage);
    engine_->throw_fault(device);
    return buffer;
  }

  // Memory for a copy of `range`, which is released if there is none. V8 ends the process when an ArrayBuffer
  // made from native code does not fit, but throws for one made by JavaScript's constructor.
  Napi::ArrayBuffer new_buffer(Napi::Env env, const Engine::Range& range) {
    if (range.bytes < kLargeBuffer) return Napi::ArrayBuffer::New(env, range.bytes);
    try {
      const Napi::Function constructor = env.Global().Get("ArrayBuffer").As<Napi::Function>();
      return constructor.New({Napi::Number::New(env, double(range.bytes))}).As<Napi::ArrayBuffer>();
    } catch (const Napi::Error&) {
      engine_->release(range.storage);
      throw EngineError("ERR_OOM", "no memory for a copy of " + std::to_string(range.bytes) + " bytes");
    }
  }

  // call(kernel, dtype, count): the arguments are the first `count` numbers of info().words.
  Napi::Value call(const Napi::CallbackInfo& info) {
    return guarded(info, [&](Napi::Env env) {
      const double count = number(info, 2, "count");
      if (!(count >= 0 && count <= double(kWords)))
        throw EngineError("ERR_ARGUMENT", "count is out of range");
      std::size_t length;
      void* data;  // null if the buffer was transferred
      napi_get_typedarray_info(env, words_.Value(), nullptr, &length, &data, nullptr, nullptr);
      if (length != kWords) throw EngineError("ERR_ARGUMENT", "the buffer of info().words was transferred");
      double words[kWords];
      std::memcpy(words, data, std::size_t(count) * sizeof *words);
      engine_->call(number(info, 0, "kernel"), number(info, 1, "dtype"), words, std::size_t(count));
      return env.Undefined();
    });
  }

  // map(file, position, length): an ArrayBuffer on bytes of a file that is open for reading (see mapping.h),
  // or undefined where there is no such thing and the bytes have to be read.
  Napi::Value map(const Napi::CallbackInfo& info) {
    return guarded(info, [&](Napi::Env env) -> Napi::Value {
      const double file = number(info, 0, "file");
      const double position = number(info, 1, "position"), length = number(info, 2, "length");
      const auto is_integer = [](double x, double max) { return x >= 0 && x <= max && x == std::floor(x); };
      if (!is_integer(file, 2147483647.0) || !is_integer(position, 9007199254740991.0) ||
          !is_integer(length, 9007199254740991.0))
        throw EngineError("ERR_ARGUMENT", "file, position and length must be integers of at least 0");
      if (!external_buffers_ || length > double(kLargestView)) return env.Undefined();
      std::unique_ptr<Mapping> mapping =
          Mapping::of_file(int(file), std::uint64_t(position), std::size_t(length));
      if (!mapping) return env.Undefined();
      const auto unmap = [](napi_env, void*, void* mapping) { delete static_cast<Mapping*>(mapping); };
      napi_value buffer;
      if (napi_create_external_arraybuffer(env, mapping->data(), std::size_t(length), unmap, mapping.get(),
                                           &buffer) != napi_ok)
        return env.Undefined();
      mapping.release();
      return Napi::Value(env, buffer);
    });
  }

  Napi::Value reset_peak(const Napi::CallbackInfo& info) {
    return guarded(info, [&](Napi::Env env) {
      engine_->reset_peak(number(info, 0, "device"));
      return env.Undefined();
    });
  }

  // record(true): what is enqueued from here on is recorded; gives the time, in milliseconds.
  // record(false): ends that, waits for it, and gives { calls, times, leftOut }: for each call the fields of
  // Recorder::Field, then its words (those of call(), or the number of bytes); its start and its end.
  Napi::Value record(const Napi::CallbackInfo& info) {
    return guarded(info, [&](Napi::Env env) -> Napi::Value {
      if (info.Length() > 0 && info[0].ToBoolean()) {
        engine_->begin_recording();
        return Napi::Number::New(env, clock_ms());
      }
      const Recorder& recorder = engine_->end_recording();
      Napi::Float64Array calls = Napi::Float64Array::New(env, recorder.calls().size());
      std::copy(recorder.calls().begin(), recorder.calls().end(), calls.Data());
      Napi::Float64Array times = Napi::Float64Array::New(env, 2 * recorder.times().size());
      double* time = times.Data();
      for (const RunTimes& each : recorder.times()) *time++ = each.start, *time++ = each.end;
      Napi::Object result = Napi::Object::New(env);
      result["calls"] = calls;
      result["times"] = times;
      result["leftOut"] = double(recorder.left_out());
      engine_->forget_recording();
      return result;
    });
  }

  // On the compute thread.
  void announce(std::uint64_t ticket) {
    napi_call_threadsafe_function(completions_, reinterpret_cast<void*>(ticket), napi_tsfn_nonblocking);
  }

  // On the JavaScript thread, in a turn of the event loop of its own.
  void complete(std::uint64_t ticket) {
    const auto found = readings_.find(ticket);
    if (found == readings_.end() || !engine_) return;
    Reading reading = std::move(found->second);
    readings_.erase(found);
    Napi::Env env = reading.deferred.Env();
    Napi::HandleScope scope(env);
    if (readings_.empty()) napi_unref_threadsafe_function(env, completions_);
    try {
      settle(env, reading);
    } catch (const Napi::Error&) {  // the environment is ending and takes no values any more
    }
  }

  void settle(Napi::Env env, const Reading& reading) {
    const Engine::Range& range = reading.range;
    const auto reject = [&](const char* code, const std::string& message) {
      engine_->release(range.storage);
      reading.deferred.Reject(coded_error(env, code, message).Value());
    };
    try {
      engine_->throw_fault(*range.storage->device);
    } catch (const EngineError& error) {
      return reject(error.code, error.what());
    }
    if (!reading.copy.IsEmpty()) {
      engine_->release(range.storage);
      reading.deferred.Resolve(reading.copy.Value());
      return;
    }
    // The engine stays as long as a view of its memory does, even when its thread has ended.
    struct View {
      std::shared_ptr<Engine> engine;
      Storage* storage;
    };
    auto* view = new View{engine_, range.storage};
    const auto finalize = [](napi_env, void*, void* hint) {
      std::unique_ptr<View> ended(static_cast<View*>(hint));
      ended->engine->release(ended->storage);
    };
    napi_value buffer;
    if (napi_create_external_arraybuffer(env, range.data, range.bytes, finalize, view, &buffer) != napi_ok) {
      delete view;
      return reject("ERR_OOM", "cannot create a view of the tensor");
    }
    reading.deferred.Resolve(Napi::Value(env, buffer));
  }

  // Electron forbids buffers whose memory is not V8's.
  static bool allows_external_buffers(Napi::Env env) {
    Napi::HandleScope scope(env);
    auto* byte = new char[1];
    const auto finalize = [](napi_env, void* data, void*) { delete[] static_cast<char*>(data); };
    napi_value buffer;
    if (napi_create_external_arraybuffer(env, byte, 1, finalize, nullptr, &buffer) == napi_ok) return true;
    delete[] byte;
    return false;
  }

  // The environment ends: a worker was terminated or the process exits, perhaps in the middle of a step.
  void close() {
    engine_->close();
    for (const auto& [ticket, reading] : readings_) engine_->release(reading.range.storage);
    readings_.clear();
    engine_.reset();
    napi_release_threadsafe_function(completions_, napi_tsfn_abort);
  }

  std::shared_ptr<Engine> engine_;  // null once closed; views of its memory keep it alive
  napi_threadsafe_function completions_ = nullptr;
  std::unordered_map<std::uint64_t, Reading> readings_;
  std::uint64_t last_ticket_ = 0;
  bool external_buffers_ = false;
  Napi::ObjectReference words_;
};

}  // namespace

NODE_API_NAMED_ADDON(trainformer, Addon)
