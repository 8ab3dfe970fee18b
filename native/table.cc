// kernels.def → the constant table of one instruction set and one activation dtype. Constant data: loading it runs no
// instruction of that set.
#include "gemm/blocking.h"
#include "kernel.h"

namespace ISA {

#include "entries.h"

#define STRING(x) #x
#define EXPANDED_STRING(x) STRING(x)

extern const KernelTable table = {EXPANDED_STRING(ISA_NAME), REAL_DTYPE, kernels, sizeof kernels / sizeof *kernels,
                                  kPairs};

}  // namespace ISA
