// The parameter types of kernels.def. Included in the namespace of a backend's kernels, which has Real, the activation
// dtype, and Typed<T>, its view of elements of type T.
struct In : Typed<const Real> {};
struct Out : Typed<Real> {};
struct In32 : Typed<const float> {};
struct Out32 : Typed<float> {};
struct Acc : Typed<float> {};
struct Ids : Typed<const std::int32_t> {};
struct OutIds : Typed<std::int32_t> {};
using InStrided = In;
using In32Strided = In32;
using Out32Opt = Out32;
using InOpt = In;
using OutOpt = Out;
using In32Opt = In32;
using AccOpt = Acc;
using IdsOpt = Ids;
using IdsStrided = Ids;
