export * from "./token-dataset.ts";
