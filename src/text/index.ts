export * from "./char-tokenizer.ts";
