export type { Logs, TrainerCallback, TrainerControl, TrainerEvent, TrainerState } from "./callback.ts";
export * from "./step.ts";
