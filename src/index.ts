export { type BackwardOptions, noGrad } from "./autograd.ts";
export type { Dtype, DtypeArray } from "./dtype.ts";
export {
  ArgumentError,
  CheckpointError,
  DtypeError,
  type ErrorCode,
  ShapeError,
  TrainformerError,
} from "./errors.ts";
export * from "./functional.ts";
export { type GeneratorState, generatorState, manualSeed, setGeneratorState } from "./generator.ts";
export { type MemoryUsage, memory, scope } from "./memory.ts";
export { type NestedArray, Tensor, type TensorOptions, tensor } from "./tensor.ts";
