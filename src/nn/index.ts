export { alibiSlopes } from "./alibi.ts";
export {
  type AttentionInput,
  CrossAttention,
  type CrossAttentionInput,
  type HeadOptions,
  MultiHeadAttention,
  type MultiHeadAttentionOptions,
} from "./attention.ts";
export { KeyValueCache, type LayerCache } from "./cache.ts";
export { checkpoint } from "./checkpoint.ts";
export * from "./layers.ts";
export { LowRankAttention, type LowRankAttentionOptions } from "./low-rank-attention.ts";
export { Module, type Parameter, parameter } from "./module.ts";
export { AttentionPooling, l2Normalize, meanPooling } from "./pooling.ts";
export { LearnedPositions, type Position, type SinusoidalOptions, SinusoidalPositions } from "./positions.ts";
export { type RelativeBiasOptions, RelativePositionBias, relativeBucket } from "./relative-bias.ts";
export { RelativeKeys } from "./relative-keys.ts";
export * from "./rotary.ts";
export type { RotaryScaling } from "./rotary-scaling.ts";
export { type SparsePattern, sparseBlocks } from "./sparse-pattern.ts";
export * from "./transformer.ts";
