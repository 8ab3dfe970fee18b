// Products by a BLAS that is loaded at run time: OpenBLAS, MKL, or PyTorch's copy of MKL.
//
// BLAS is column-major: yᵀ = bᵀ · aᵀ is the row-major product of a and b. bf16 and packed factors are
// extensions, which only some libraries have; these take row-major matrices.
#include <dlfcn.h>

#include <cstring>

#include "gemm.h"

namespace {

enum { kRowMajor = 101, kNoTrans = 111, kTrans = 112, kPacked = 151, kBMatrix = 162 };

using Sgemm = void(const char*, const char*, const int*, const int*, const int*, const float*, const float*,
                   const int*, const float*, const int*, const float*, float*, const int*);
using Bf16Gemm = void(int, int, int, int, int, int, float, const void*, int, const void*, int, float, float*,
                      int);
using PackSize = std::size_t(int, int, int, int);
using Pack = void(int, int, int, int, int, int, float, const float*, int, float*);
using Compute = void(int, int, int, int, int, int, const float*, int, const float*, int, float, float*, int);

struct {
  Sgemm* sgemm;
  Bf16Gemm* bf16;
  PackSize* pack_size;
  Pack* pack;
  Compute* compute;
} blas;

template <class F>
bool find(void* library, const char* name, F*& function) {
  function = reinterpret_cast<F*>(dlsym(library, name));
  return function != nullptr;
}

}  // namespace

std::string open_library(const char* file) {
  void* library = dlopen(file, RTLD_NOW);
  if (!library) throw std::runtime_error(dlerror());
  if (!find(library, "sgemm_", blas.sgemm)) throw std::runtime_error(std::string(file) + " has no sgemm_");
  if (!find(library, "cblas_gemm_bf16bf16f32", blas.bf16)) find(library, "cblas_sbgemm", blas.bf16);
  find(library, "cblas_sgemm_pack_get_size", blas.pack_size);
  find(library, "cblas_sgemm_pack", blas.pack);
  find(library, "cblas_sgemm_compute", blas.compute);

  char text[256];
  void (*mkl_version)(char*, int);
  char* (*openblas_config)();
  if (find(library, "openblas_get_config", openblas_config)) return openblas_config();
  if (!find(library, "MKL_Get_Version_String", mkl_version)) return file;
  mkl_version(text, sizeof text);
  const char* version = std::strstr(text, "Version ");  // "Intel(R) ... Version 2024.2-Product Build ..."
  return version ? "MKL " + std::string(version + 8, std::strcspn(version + 8, "- ")) : text;
}

std::function<void()> prepare(const Product& p) {
  const int M = p.M, N = p.N, K = p.K;
  const int lda = p.a_transposed ? M : K, ldb = p.b_transposed ? K : N;
  const Buffer a = random_numbers(p.M * p.K, p.bf16), b = random_numbers(p.K * p.N, p.bf16);
  const Buffer y = allocate(p.M * p.N * sizeof(float));
  const auto floats = [](const Buffer& buffer) { return static_cast<float*>(buffer.get()); };
  const int a_flag = p.a_transposed ? kTrans : kNoTrans, b_flag = p.b_transposed ? kTrans : kNoTrans;

  if (p.bf16) {
    if (!blas.bf16 || p.packed) return {};
    return [=] {
      blas.bf16(kRowMajor, a_flag, b_flag, M, N, K, 1, a.get(), lda, b.get(), ldb, 0, floats(y), N);
    };
  }
  if (p.packed) {
    if (!blas.compute || !blas.pack || !blas.pack_size) return {};
    const Buffer packed = allocate(blas.pack_size(kBMatrix, M, N, K));
    blas.pack(kRowMajor, kBMatrix, b_flag, M, N, K, 1, floats(b), ldb, floats(packed));
    return [=] {
      blas.compute(kRowMajor, a_flag, kPacked, M, N, K, floats(a), lda, floats(packed), ldb, 0, floats(y), N);
    };
  }
  return [=] {
    const float one = 1, zero = 0;
    blas.sgemm(p.b_transposed ? "T" : "N", p.a_transposed ? "T" : "N", &N, &M, &K, &one, floats(b), &ldb,
               floats(a), &lda, &zero, floats(y), &N);
  };
}
