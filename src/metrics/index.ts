export { type BLEUOptions, type BLEUScore, bleu } from "./bleu.ts";
export type { BLEUTokenizer } from "./bleu-tokenizers.ts";
export { type ChrFScore, chrF } from "./chrf.ts";
export { type RougeScore, rouge } from "./rouge.ts";
export type { References } from "./text-pairs.ts";
