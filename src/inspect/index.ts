export * as edit from "./edits.ts";
export { type HeadKind, headKind } from "./head-kinds.ts";
export { merge } from "./merge.ts";
export type { Glob, MessageName } from "./names.ts";
export { type ReportOptions, reportHTML, writeReport } from "./report/index.ts";
export { type SurveyOptions, survey } from "./survey.ts";
export type { AttentionMap, Loudness, Route, Survey } from "./survey-types.ts";
export { trace } from "./trace.ts";
export type {
  Edit,
  EditContext,
  Effects,
  EffectsOptions,
  GradOf,
  Keep,
  Lens,
  Message,
  MessagesOptions,
  Range,
  Token,
  Trace,
  TraceBatch,
  TraceCost,
  TraceInput,
  TraceOptions,
  TraceTokenizer,
} from "./types.ts";
export {
  WatchReporter,
  type WatchReporterOptions,
  WatchServer,
  type WatchServerOptions,
  writeWatchPage,
} from "./watch/index.ts";
