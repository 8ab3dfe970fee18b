export { type Checkpoint, openCheckpoint } from "./checkpoint.ts";
export type { ReadOptions } from "./file-bytes.ts";
export { type GGUF, openGGUF } from "./gguf.ts";
export type { GGUFList, GGUFNumbers, GGUFNumberType, GGUFValue } from "./gguf-types.ts";
export { type GGUFTensor, type GGUFWriteType, writeGGUF } from "./gguf-writer.ts";
export { readSafetensors, type Safetensors, type StoredTensor, writeSafetensors } from "./safetensors.ts";
export { type WriteCheckpointOptions, writeCheckpoint } from "./shards.ts";
