export { type BackwardOptions, noGrad } from "./autograd.ts";
export * from "./data/index.ts";
export {
  type Device,
  defaultDevice,
  device,
  type MatmulPrecision,
  setCudaGraphs,
  setDefaultDevice,
  setFloat32MatmulPrecision,
} from "./device.ts";
export type { Dtype, DtypeArray } from "./dtype.ts";
export {
  ArgumentError,
  CheckpointError,
  DataError,
  DtypeError,
  type ErrorCode,
  ShapeError,
  TrainformerError,
} from "./errors.ts";
export * from "./functional.ts";
export * from "./generate/index.ts";
export { type GeneratorState, generatorState, manualSeed, setGeneratorState } from "./generator.ts";
export * from "./inspect/index.ts";
export * from "./io/index.ts";
export {
  type LiveTensorReport,
  type LiveTensors,
  liveTensors,
  type MemoryUsage,
  memory,
  memorySummary,
  resetPeakMemory,
  scope,
} from "./memory.ts";
export * from "./metrics/index.ts";
export * from "./models/index.ts";
export * from "./nn/index.ts";
export * from "./optim/index.ts";
export * from "./profile/index.ts";
export type { Random } from "./random.ts";
export { type NestedArray, Tensor, type TensorOptions, tensor } from "./tensor.ts";
export * from "./text/index.ts";
export * from "./train/index.ts";
