export * from "./attention.ts";
export * from "./layers.ts";
export { Module, type Parameter, parameter } from "./module.ts";
export * from "./positions.ts";
export * from "./transformer.ts";
