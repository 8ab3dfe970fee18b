export { availableMemory } from "./available.ts";
export type { Call } from "./calls.ts";
export { estimateMemory, type MemoryEstimate, type MemoryEstimateOptions } from "./estimate.ts";
export { type ProfileOptions, profile } from "./profile.ts";
export { type Grouping, Profile, type ProfileRow } from "./report.ts";
export type { BatchSize } from "./sample-pass.ts";
export type { TraceEvent, TraceFile } from "./trace-events.ts";
export type { KernelArguments, TensorArgument } from "./work.ts";
