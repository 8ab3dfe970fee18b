// Data that makes no sense: what report_index_fault (../native/runtime.h) is on the processor.
#pragma once
#include "context.h"

namespace cuda {

// Element `position` holds `value`, which is not in [0, limit). The first report stays; the kernel goes on.
PRIMITIVE void report_index_fault(Fault* fault, Index position, Index value, Index limit) {
  if (atomicCAS(&fault->raised, 0, 1) != 0) return;
  fault->position = position;
  fault->value = value;
  fault->limit = limit;
}

}  // namespace cuda
