export * from "./checkpoint.ts";
export * from "./step.ts";
