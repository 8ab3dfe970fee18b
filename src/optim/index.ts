export * from "./adafactor.ts";
export { Adam, type AdamOptions } from "./adam.ts";
export * from "./adamw.ts";
export * from "./ema.ts";
export * from "./freezing.ts";
export * from "./lion.ts";
export {
  makeOptimizer,
  type OptimizerOptions,
  optimizerNames,
} from "./make-optimizer.ts";
export * from "./muon.ts";
export type * from "./optimizer.ts";
export { OptimizerList } from "./optimizer-list.ts";
export * from "./parameter-groups.ts";
export * from "./reduce-lr-on-plateau.ts";
export * from "./schedule.ts";
export * from "./scheduler.ts";
export * from "./sgd.ts";
