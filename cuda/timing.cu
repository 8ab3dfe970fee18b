#include "timing.h"

#include "../native/recorder.h"
#include "try.h"

namespace cuda {

Timing::~Timing() {
  for (const Note& note : notes_) rt::destroy(note.event);
  for (rt::Event event : unused_) rt::destroy(event);
  if (origin_) rt::destroy(origin_);
}

std::string Timing::take(rt::Event* event) {
  if (unused_.empty()) return rt::create_timed(event);
  *event = unused_.back();
  unused_.pop_back();
  return "";
}

// Times are told as 32-bit floats since another event, so that one must be near: each batch has its own origin.
std::string Timing::note(double* when, rt::Stream stream) {
  if (notes_.size() == kMostNotes) {
    TRY(rt::synchronize(stream));
    TRY(resolve());
  }
  if (notes_.empty()) {
    if (!origin_) TRY(rt::create_timed(&origin_));
    TRY(rt::synchronize(stream));
    TRY(rt::record(origin_, stream));
    TRY(rt::synchronize(origin_));
    origin_ms_ = clock_ms();
  }
  rt::Event event{};
  TRY(take(&event));
  notes_.push_back({when, event});
  return rt::record(event, stream);
}

std::string Timing::resolve() {
  std::vector<Note> notes;
  notes.swap(notes_);
  std::string error;
  for (const Note& note : notes) {
    float ms = 0;
    if (error.empty()) error = rt::elapsed_ms(&ms, origin_, note.event);
    if (error.empty()) *note.when = origin_ms_ + double(ms);
    unused_.push_back(note.event);
  }
  return error;
}

}  // namespace cuda
