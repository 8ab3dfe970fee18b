import { openedDevices, usesCudaGraphs } from "../device.ts";
import { ArgumentError } from "../errors.ts";
import { allocate, endRecording, free, type Recorded, read, startRecording } from "../native.ts";
import { type AnyModule, Module } from "../nn/module.ts";
import { type Call, callsOf } from "./calls.ts";
import { type Span, watchModules } from "./module-spans.ts";
import { Profile } from "./report.ts";

export interface ProfileOptions {
  /** Whose modules are to be told apart: what their `forward` enqueues belongs to them, a backward pass to none. */
  model?: AnyModule;
}

/** Resolves when everything enqueued so far is done, on every device. */
async function finished(): Promise<void> {
  const computing = [...openedDevices()].filter(([name]) => name !== "meta");
  await Promise.all(
    computing.map(async ([, number]) => {
      const handle = allocate("f32", 1, number);
      try {
        await read(handle, 0, 0, "copy");
      } finally {
        free(handle);
      }
    }),
  );
}

/** Gives each call the spans in which it was enqueued. Both are in the order of their starts. */
function assignModules(calls: readonly Call[], spans: readonly Span[]): void {
  const open: Span[] = [];
  let next = 0;
  for (const call of calls) {
    for (; next < spans.length && spans[next]!.start <= call.enqueueStart; next++) {
      while (open.length > 0 && open.at(-1)!.end < spans[next]!.start) open.pop();
      open.push(spans[next]!);
    }
    while (open.length > 0 && open.at(-1)!.end < call.enqueueStart) open.pop();
    call.modules = open.map(({ name }) => name);
  }
}

let isRunning = false;

/**
 * Runs `body`, a step of training or several, and tells what its kernels took on the device, call by call: every command
 * of this thread's queues from its beginning to its end is timed, on a GPU by events. Without a profile nothing is.
 *
 * ```ts
 * const profile = await profile(() => trainStep(batch), { model });
 * console.log(String(profile));            // a table, the slowest kernels first
 * await profile.save("step.json");         // for ui.perfetto.dev
 * ```
 *
 * What `body` enqueues first includes what happens only once (packed weights, new memory): run a step before.
 *
 * @throws ERR_ARGUMENT if another profile is running, or if steps are recorded as CUDA graphs, whose kernels cannot be
 *   timed; and what `body` throws
 */
export async function profile<T>(
  body: () => T | Promise<T>,
  options: ProfileOptions = {},
): Promise<Profile<T>> {
  const { model } = options;
  if (typeof body !== "function") {
    throw new ArgumentError(`profile: the first argument must be a function; got ${typeof body}`);
  }
  if (model !== undefined && !(model instanceof Module)) {
    throw new ArgumentError(`profile: model must be a Module; got ${String(model)}`);
  }
  if (usesCudaGraphs()) {
    throw new ArgumentError(
      "profile: the kernels of a CUDA graph cannot be timed one by one; call setCudaGraphs(false) before",
    );
  }
  if (isRunning) throw new ArgumentError("profile: another profile is running; await it first");
  isRunning = true;
  try {
    await finished();
    const origin = startRecording();
    const began = performance.now();
    const now = () => performance.now() - began;
    const watching = model && watchModules(model, now);
    let result: Awaited<T>;
    let wallMs: number;
    let recorded: Recorded;
    try {
      result = await body();
      await finished();
      wallMs = now();
    } finally {
      watching?.end();
      recorded = endRecording();
    }
    const calls = callsOf(recorded, origin);
    const spans = watching?.spans ?? [];
    assignModules(calls, spans);
    return new Profile(result, { calls, spans, wallMs, leftOut: recorded.leftOut });
  } finally {
    isRunning = false;
  }
}
