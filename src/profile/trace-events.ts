import type { Device } from "../device.ts";
import { showShape } from "../shape.ts";
import type { Call } from "./calls.ts";
import type { Span } from "./module-spans.ts";

/** An event of Google's "Trace Event Format". Times are in microseconds. */
export interface TraceEvent {
  readonly name: string;
  /** X: it lasts `dur`; C: a counter has a value; s, f: an arrow begins, ends; M: says what a track is called. */
  readonly ph: "X" | "C" | "s" | "f" | "M";
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly cat?: string;
  /** Of both ends of an arrow. */
  readonly id?: number;
  /** The arrow ends at the event around it. */
  readonly bp?: "e";
  readonly args?: Readonly<Record<string, unknown>>;
}

/** The object format, as chrome://tracing and ui.perfetto.dev read it. */
export interface TraceFile {
  readonly traceEvents: readonly TraceEvent[];
  readonly displayTimeUnit: "ms";
}

const pid = 1;
const javaScript = 1;
const microseconds = (ms: number): number => Math.round(1e6 * ms) / 1e3;

/** An interval of the track of JavaScript. */
interface Interval {
  readonly name: string;
  readonly cat: string;
  readonly start: number;
  end: number;
}

/** Ends what is inside another interval no later than that: the clocks of both sides differ by less than the calls. */
function nested(intervals: Interval[]): Interval[] {
  const sorted = intervals.sort((a, b) => a.start - b.start || b.end - a.end);
  const open: Interval[] = [];
  for (const each of sorted) {
    while (open.length > 0 && open.at(-1)!.end <= each.start) open.pop();
    if (open.length > 0) each.end = Math.min(each.end, open.at(-1)!.end);
    open.push(each);
  }
  return sorted;
}

function details({ args, dtype, flops, bytes, modules }: Call): Record<string, unknown> {
  const tensors = [...(args?.tensors.values() ?? [])].map(
    (t) => [t.name, `${t.dtype} ${showShape(t.shape)}`] as const,
  );
  return {
    ...(dtype && { dtype }),
    ...(modules.length > 0 && { module: modules.at(-1) }),
    ...(flops > 0 && { flops }),
    bytes,
    ...Object.fromEntries([...tensors, ...(args?.numbers ?? [])]),
  };
}

/** @internal */
export function traceOf(calls: readonly Call[], spans: readonly Span[]): TraceFile {
  const devices = [...new Set(calls.map(({ device }) => device))];
  const trackOf = (device: Device) => javaScript + 1 + devices.indexOf(device);
  const track = (tid: number, name: string): TraceEvent[] => [
    { name: "thread_name", ph: "M", pid, tid, args: { name } },
    { name: "thread_sort_index", ph: "M", pid, tid, args: { sort_index: tid } },
  ];
  const names: TraceEvent[] = [
    { name: "process_name", ph: "M", pid, tid: 0, args: { name: "trainformer" } },
    ...track(javaScript, "JavaScript"),
    ...devices.flatMap((device) => track(trackOf(device), `${device} queue`)),
  ];
  const intervals = nested([
    ...spans.map(({ name, start, end }) => ({ name, cat: "module", start, end })),
    ...calls.map((c) => ({ name: c.name, cat: "enqueue", start: c.enqueueStart, end: c.enqueueEnd })),
  ]);
  const written = intervals.map(({ name, cat, start, end }): TraceEvent => {
    const ts = microseconds(start);
    return { name, cat, ph: "X", pid, tid: javaScript, ts, dur: Math.max(0, microseconds(end) - ts) };
  });
  const live = new Map<Device, number>();
  const ran = calls.flatMap((call, id): TraceEvent[] => {
    const { name, device, liveBytes } = call;
    const tid = trackOf(device);
    const [asked, start] = [microseconds(call.enqueueStart), microseconds(call.start)];
    const arrow = { name: "enqueued", cat: "enqueued", id, pid } as const;
    const counter: TraceEvent[] =
      live.get(device) === liveBytes
        ? []
        : [{ name: `${device} memory`, ph: "C", pid, tid: 0, ts: asked, args: { bytes: liveBytes } }];
    live.set(device, liveBytes);
    const dur = Math.max(0, microseconds(call.end) - start);
    return [
      ...counter,
      { ...arrow, ph: "s", tid: javaScript, ts: asked },
      { ...arrow, ph: "f", bp: "e", tid, ts: start },
      {
        name,
        cat: call.args ? "kernel" : "copy",
        ph: "X",
        pid,
        tid,
        ts: start,
        dur,
        args: details(call),
      },
    ];
  });
  return { traceEvents: [...names, ...written, ...ran], displayTimeUnit: "ms" };
}
