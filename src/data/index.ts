export * from "./augmentation.ts";
export * from "./back-translation.ts";
export * from "./bucketed-batches.ts";
export * from "./csv.ts";
export { type AnyIterable, Dataset, type ShuffleOptions } from "./dataset.ts";
export * from "./embedding-neighbors.ts";
export type { TextSource, TextSourceOptions } from "./lines.ts";
export * from "./masked-language-modeling.ts";
export * from "./mixup.ts";
export {
  type MultiTaskOptions,
  multiTaskBatches,
  type TaskBatch,
  type TaskData,
  type TaskSamplingOptions,
  taskProbabilities,
} from "./multi-task.ts";
export * from "./packing.ts";
export * from "./padding.ts";
export * from "./parquet.ts";
export * from "./sentence-pairs.ts";
export * from "./seq2seq.ts";
export * from "./span-corruption.ts";
export * from "./split-data.ts";
export * from "./text-files.ts";
export * from "./token-dataset.ts";
