export * from "./gpt.ts";
