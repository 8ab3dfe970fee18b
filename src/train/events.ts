import type { TrainerCallback, TrainerEvent } from "./callback.ts";

/** What callbacks are told and may answer to later. */
export type EventName = Exclude<
  { [K in keyof TrainerCallback]-?: K extends `on${string}` ? K : never }[keyof TrainerCallback],
  "onPreOptimizerStep"
>;

/** Tells every callback, one after the other. */
export async function emit(
  callbacks: readonly TrainerCallback[],
  name: EventName,
  event: TrainerEvent,
): Promise<void> {
  for (const callback of callbacks) {
    const handler = callback[name] as ((event: TrainerEvent) => unknown) | undefined;
    await handler?.call(callback, event);
  }
}
