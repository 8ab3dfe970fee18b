export type {
  Decoding,
  GenerationTokenizer,
  GenerativeModel,
  LogitsProcessor,
  RowContext,
  Rows,
  StoppingCriterion,
} from "./decoding.ts";
export { type GenerateResult, generate } from "./generate.ts";
export type { GenerationConfig, SequenceBias } from "./generation-config.ts";
export { generationConfigFromJSON, generationConfigToJSON } from "./generation-config-file.ts";
export type { GenerateInputs, GenerateOptions } from "./plan.ts";
export { type Prefix, processPrefix } from "./prefix.ts";
export { type StreamOptions, stream } from "./stream.ts";
