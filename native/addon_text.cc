// The border to JavaScript of native/text: a counter of words and functions that train on them. What takes
// long runs on a thread of its own and is a promise; `control`, an Int32Array [stop, done, total], tells it
// to stop and says how far it is.
#include "addon_text.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

#include "text/counter.h"
#include "text/pairs.h"
#include "text/unigram.h"
#include "threads.h"

namespace {

struct CodedError {
  const char* code;
  std::string message;
};

[[noreturn]] void refuse(const std::string& message) { throw CodedError{"ERR_ARGUMENT", message}; }

Napi::Error error_of(Napi::Env env, const CodedError& error) {
  Napi::Error result = Napi::Error::New(env, error.message);
  result.Set("code", Napi::String::New(env, error.code));
  return result;
}

// ---- values of JavaScript
// -------------------------------------------------------------------------------------------

template <class Array>
Array typed_array(const Napi::Value& value, napi_typedarray_type type, const char* name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type)
    refuse(std::string(name) + " is an array of another type");
  return value.As<Array>();
}

double number(const Napi::Object& options, const char* name) {
  const Napi::Value value = options.Get(name);
  if (!value.IsNumber()) refuse(std::string(name) + " must be a number");
  return value.As<Napi::Number>().DoubleValue();
}
std::size_t size(const Napi::Object& options, const char* name) {
  const double value = number(options, name);
  if (!(value >= 0)) refuse(std::string(name) + " must not be negative");
  return value < 9e15 ? std::size_t(value) : std::numeric_limits<std::size_t>::max();
}
std::vector<std::uint32_t> code_points(const Napi::Object& options, const char* name) {
  const auto array = typed_array<Napi::Uint32Array>(options.Get(name), napi_uint32_array, name);
  std::vector<std::uint32_t> result(array.Data(), array.Data() + array.ElementLength());
  for (std::uint32_t c : result)
    if (c >= 0x110000) refuse(std::string(name) + " must be code points");
  return result;
}

// ---- work on a thread of its own
// ------------------------------------------------------------------------------------

// run() happens on that thread, result() and the destructor on the one of JavaScript.
class Task {
 public:
  // cells: an Int32Array, see text::Control
  Task(const Napi::Value& cells) : control_(cells_of(cells), thread_count()) {
    keep(cells.As<Napi::Object>());
  }
  virtual ~Task() = default;
  virtual void run(text::Control& control) = 0;
  virtual Napi::Value result(Napi::Env env) = 0;

  // Runs `task` and settles a promise. If the environment ends first, it is stopped and waited for.
  static Napi::Value start(Napi::Env env, std::unique_ptr<Task> task) {
    Task* const started = task.release();
    started->deferred_ = std::make_unique<Napi::Promise::Deferred>(Napi::Promise::Deferred::New(env));
    const Napi::Promise promise = started->deferred_->Promise();
    const auto finish = [](napi_env listening, napi_value, void* context, void*) {
      if (listening) static_cast<Task*>(context)->finish(listening);
    };
    if (napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "trainformer.text"), 0,
                                        1, nullptr, nullptr, started, finish,
                                        &started->finished_) != napi_ok) {
      delete started;
      throw CodedError{"ERR_OOM", "cannot start a thread"};
    }
    try {
      started->thread_ = std::thread([started] { started->work(); });
    } catch (const std::system_error&) {
      napi_release_threadsafe_function(started->finished_, napi_tsfn_abort);
      delete started;
      throw CodedError{"ERR_OOM", "cannot start a thread"};
    }
    napi_add_env_cleanup_hook(env, abandon, started);
    return promise;
  }

 protected:
  // An object that shall live as long as the task.
  void keep(const Napi::Object& object) { kept_.push_back(Napi::Persistent(object)); }

 private:
  void work() {
    try {
      run(control_);
    } catch (const text::Stopped&) {
      failure_ = {"ERR_CANCELLED", "training was stopped"};
    } catch (const CodedError& error) {
      failure_ = error;
    } catch (const std::bad_alloc&) {
      failure_ = {"ERR_OOM", "out of memory"};
    } catch (const std::exception& error) {
      failure_ = {"ERR_OOM", error.what()};
    }
    napi_call_threadsafe_function(finished_, nullptr, napi_tsfn_nonblocking);
  }

  void finish(Napi::Env env) {
    std::unique_ptr<Task> self(this);
    Napi::HandleScope scope(env);
    napi_remove_env_cleanup_hook(env, abandon, this);
    thread_.join();
    napi_release_threadsafe_function(finished_, napi_tsfn_release);
    try {
      settle(env);
    } catch (const Napi::Error&) {  // the environment is ending and takes no values any more
    }
  }

  void settle(Napi::Env env) {
    if (failure_.code) return deferred_->Reject(error_of(env, failure_).Value());
    Napi::Value value;
    try {
      value = result(env);
    } catch (const std::bad_alloc&) {
      return deferred_->Reject(error_of(env, {"ERR_OOM", "out of memory"}).Value());
    } catch (const Napi::Error& error) {
      return deferred_->Reject(error.Value());
    }
    deferred_->Resolve(value);
  }

  static void abandon(void* task) {
    std::unique_ptr<Task> self(static_cast<Task*>(task));
    self->control_.stop();
    self->thread_.join();
    napi_release_threadsafe_function(self->finished_, napi_tsfn_abort);
  }

  static std::int32_t* cells_of(const Napi::Value& value) {
    auto cells = typed_array<Napi::Int32Array>(value, napi_int32_array, "control");
    if (cells.ElementLength() < 3) refuse("control must have three elements");
    return cells.Data();
  }

  text::Control control_;
  std::vector<Napi::ObjectReference> kept_;
  std::unique_ptr<Napi::Promise::Deferred> deferred_;
  napi_threadsafe_function finished_ = nullptr;
  std::thread thread_;
  CodedError failure_{nullptr, ""};
};

// Runs `body` and turns what it throws into a coded JavaScript error.
template <class F>
Napi::Value guarded(const Napi::CallbackInfo& info, const F& body) {
  try {
    return body();
  } catch (const CodedError& error) {
    throw error_of(info.Env(), error);
  } catch (const std::bad_alloc&) {
    throw error_of(info.Env(), {"ERR_OOM", "out of memory"});
  }
}

// ---- counting
// -------------------------------------------------------------------------------------------------------

struct SharedCounter {
  explicit SharedCounter(text::Splitting how) : counter(how) {}
  text::Counter counter;
  std::mutex mutex;
};

// Words as arrays: their bytes one after the other, where each ends, and how often each occurs.
template <class Bytes>
Napi::Object word_arrays(Napi::Env env, std::size_t count, std::size_t bytes, const Bytes& fill) {
  Napi::Uint8Array text = Napi::Uint8Array::New(env, bytes);
  Napi::Uint32Array ends = Napi::Uint32Array::New(env, count);
  Napi::Float64Array counts = Napi::Float64Array::New(env, count);
  fill(text.Data(), ends.Data(), counts.Data());
  Napi::Object result = Napi::Object::New(env);
  result["bytes"] = text;
  result["ends"] = ends;
  result["counts"] = counts;
  return result;
}

class CountTask : public Task {
 public:
  // (bytes, ends or undefined, control): without `ends`, each line is a sequence
  CountTask(const Napi::CallbackInfo& info, std::shared_ptr<SharedCounter> counter)
      : Task(info[2]), counter_(std::move(counter)) {
    const auto bytes = typed_array<Napi::Uint8Array>(info[0], napi_uint8_array, "bytes");
    keep(bytes);
    text_ = {reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength()};
    if (info[1].IsUndefined()) return;
    const auto ends = typed_array<Napi::Uint32Array>(info[1], napi_uint32_array, "ends");
    has_ends_ = true;
    ends_.assign(ends.Data(), ends.Data() + ends.ElementLength());
  }
  void run(text::Control& control) override {
    std::lock_guard lock(counter_->mutex);
    std::vector<std::string_view> sequences;
    if (!has_ends_) sequences = text::lines_of(text_);
    std::size_t begin = 0;
    for (std::uint32_t end : ends_) {
      if (end < begin || end > text_.size()) refuse("ends must rise to at most the length of bytes");
      sequences.push_back(text_.substr(begin, end - begin));
      begin = end;
    }
    counter_->counter.add(control, sequences);
  }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

 private:
  std::shared_ptr<SharedCounter> counter_;
  std::string_view text_;
  std::vector<std::uint32_t> ends_;
  bool has_ends_ = false;
};

class WordCounter : public Napi::ObjectWrap<WordCounter> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "WordCounter",
        {InstanceMethod("add", &WordCounter::add), InstanceMethod("words", &WordCounter::words)});
  }
  // (splitting): its number in text::Splitting
  explicit WordCounter(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    const int how = info[0].IsNumber() ? info[0].As<Napi::Number>().Int32Value() : -1;
    if (how < 0 || how > 2) throw error_of(info.Env(), {"ERR_ARGUMENT", "splitting must be 0, 1 or 2"});
    counter_ = std::make_shared<SharedCounter>(text::Splitting(how));
  }

 private:
  Napi::Value add(const Napi::CallbackInfo& info) {
    return guarded(info,
                   [&] { return Task::start(info.Env(), std::make_unique<CountTask>(info, counter_)); });
  }
  Napi::Value words(const Napi::CallbackInfo& info) {
    return guarded(info, [&]() -> Napi::Value {
      std::lock_guard lock(counter_->mutex);
      const text::WordTable& table = counter_->counter.words();
      if (table.bytes() > 0xffffffff) throw CodedError{"ERR_OOM", "the words are more than 4 GiB of text"};
      return word_arrays(info.Env(), table.entries().size(), table.bytes(),
                         [&](std::uint8_t* bytes, std::uint32_t* ends, double* counts) {
                           std::size_t end = 0;
                           for (const text::WordTable::Entry& entry : table.entries()) {
                             const std::string_view word = table.word(entry);
                             word.copy(reinterpret_cast<char*>(bytes) + end, word.size());
                             *ends++ = std::uint32_t(end += word.size());
                             *counts++ = double(entry.count);
                           }
                         });
    });
  }

  std::shared_ptr<SharedCounter> counter_;
};

// ---- training
// -------------------------------------------------------------------------------------------------------

// A task on words in the order of their bytes, whatever order they come in.
class TrainTask : public Task {
 public:
  // (words, options, control)
  explicit TrainTask(const Napi::CallbackInfo& info) : Task(info[2]) {
    if (!info[0].IsObject() || !info[1].IsObject()) refuse("words and options must be objects");
    const auto words = info[0].As<Napi::Object>();
    const auto bytes = typed_array<Napi::Uint8Array>(words.Get("bytes"), napi_uint8_array, "bytes");
    const auto ends = typed_array<Napi::Uint32Array>(words.Get("ends"), napi_uint32_array, "ends");
    const auto counts = typed_array<Napi::Float64Array>(words.Get("counts"), napi_float64_array, "counts");
    for (const Napi::TypedArray& array :
         {Napi::TypedArray(bytes), Napi::TypedArray(ends), Napi::TypedArray(counts)})
      keep(array);
    given_ = {reinterpret_cast<const char*>(bytes.Data()), ends.Data(), counts.Data(), ends.ElementLength()};
    bytes_ = bytes.ByteLength();
    if (counts.ElementLength() != given_.size) refuse("counts must be as many as ends");
  }

 protected:
  text::Words sorted() {
    for (std::size_t i = 0; i < given_.size; ++i) {
      const bool rises = given_.ends[i] >= (i == 0 ? 0 : given_.ends[i - 1]) && given_.ends[i] <= bytes_;
      if (!rises || !(given_.counts[i] >= 1 && given_.counts[i] < 9e15))
        refuse("words must have ends and counts");
    }
    std::vector<std::uint32_t> order(given_.size);
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = std::uint32_t(i);
    std::sort(order.begin(), order.end(), [&](auto a, auto b) { return given_[a] < given_[b]; });
    for (std::uint32_t i : order) {
      text_ += given_[i];
      ends_.push_back(std::uint32_t(text_.size()));
      counts_.push_back(given_.counts[i]);
    }
    return {text_.data(), ends_.data(), counts_.data(), ends_.size()};
  }

 private:
  text::Words given_;
  std::size_t bytes_;
  std::string text_;
  std::vector<std::uint32_t> ends_;
  std::vector<double> counts_;
};

class PairTask : public TrainTask {
 public:
  explicit PairTask(const Napi::CallbackInfo& info) : TrainTask(info) {
    const auto options = info[1].As<Napi::Object>();
    options_.vocabulary_size = size(options, "vocabSize");
    options_.least_count = size(options, "minFrequency");
    options_.longest_token = size(options, "maxTokenLength");
    options_.alphabet_limit = size(options, "limitAlphabet");
    options_.alphabet = code_points(options, "initialAlphabet");
    options_.bytes = options.Get("bytes").ToBoolean();
    options_.prefix = options.Get("prefix").ToString().Utf8Value();
    const Napi::Value tokens = options.Get("specialTokens");
    if (!tokens.IsArray()) refuse("specialTokens must be an array");
    const auto list = tokens.As<Napi::Array>();
    for (std::uint32_t i = 0; i < list.Length(); ++i)
      options_.special_tokens.push_back(list.Get(i).ToString().Utf8Value());
  }
  void run(text::Control& control) override { vocabulary_ = text::train_pairs(control, sorted(), options_); }
  Napi::Value result(Napi::Env env) override {
    Napi::Array tokens = Napi::Array::New(env, vocabulary_.tokens.size());
    for (std::size_t i = 0; i < vocabulary_.tokens.size(); ++i) {
      Napi::HandleScope scope(env);
      tokens.Set(std::uint32_t(i), Napi::String::New(env, vocabulary_.tokens[i]));
    }
    Napi::Uint32Array merges = Napi::Uint32Array::New(env, 2 * vocabulary_.merges.size());
    std::uint32_t* id = merges.Data();
    for (const auto& [left, right] : vocabulary_.merges) *id++ = left, *id++ = right;
    Napi::Object result = Napi::Object::New(env);
    result["tokens"] = tokens;
    result["merges"] = merges;
    return result;
  }

 private:
  text::PairOptions options_;
  text::PairVocabulary vocabulary_;
};

class UnigramTask : public TrainTask {
 public:
  explicit UnigramTask(const Napi::CallbackInfo& info) : TrainTask(info) {
    const auto options = info[1].As<Napi::Object>();
    options_.vocabulary_size = size(options, "vocabSize");
    options_.longest_piece = size(options, "maxPieceLength");
    options_.seeds = size(options, "seedSize");
    options_.iterations = size(options, "numSubIterations");
    options_.shrinking_factor = number(options, "shrinkingFactor");
    options_.alphabet = code_points(options, "initialAlphabet");
  }
  void run(text::Control& control) override {
    try {
      pieces_ = text::train_unigram(control, sorted(), options_);
    } catch (const text::TooManyCharacters& characters) {
      refuse("vocabSize must have room for the " + std::to_string(characters.count) +
             " characters of the texts; got " + std::to_string(options_.vocabulary_size) +
             " without special tokens");
    }
  }
  Napi::Value result(Napi::Env env) override {
    Napi::Array pieces = Napi::Array::New(env, pieces_.size());
    Napi::Float64Array scores = Napi::Float64Array::New(env, pieces_.size());
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
      Napi::HandleScope scope(env);
      pieces.Set(std::uint32_t(i), Napi::String::New(env, pieces_[i].text));
      scores[i] = pieces_[i].score;
    }
    Napi::Object result = Napi::Object::New(env);
    result["pieces"] = pieces;
    result["scores"] = scores;
    return result;
  }

 private:
  text::UnigramOptions options_;
  std::vector<text::Piece> pieces_;
};

template <class T>
Napi::Value train(const Napi::CallbackInfo& info) {
  return guarded(info, [&] { return Task::start(info.Env(), std::make_unique<T>(info)); });
}

}  // namespace

Napi::Object text_exports(Napi::Env env) {
  Napi::Object exports = Napi::Object::New(env);
  exports["WordCounter"] = WordCounter::define(env);
  exports["trainPairs"] = Napi::Function::New(env, train<PairTask>, "trainPairs");
  exports["trainUnigram"] = Napi::Function::New(env, train<UnigramTask>, "trainUnigram");
  return exports;
}
