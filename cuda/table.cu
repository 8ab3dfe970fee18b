// kernels.def → the constant table of one activation dtype.
#include "kernel.h"

namespace TABLE {

#include "../native/entries.h"

extern const KernelTable table = {"cuda", Dtype::REAL, kernels, sizeof kernels / sizeof *kernels, true};

}  // namespace TABLE
