import { writeFile } from "node:fs/promises";
import type { Device } from "../device.ts";
import { ArgumentError } from "../errors.ts";
import { formatTable, showBytes, showNumber } from "../print.ts";
import type { Call } from "./calls.ts";
import type { Span } from "./module-spans.ts";
import { type TraceFile, traceOf } from "./trace-events.ts";
import { showShapes } from "./work.ts";

const groupings = ["kernel", "shape", "module"] as const;
/** Calls of one kernel; of one kernel with arguments of the same shapes; of one module. */
export type Grouping = (typeof groupings)[number];

/** The calls of a group, together. */
export interface ProfileRow {
  readonly name: string;
  readonly device: Device;
  readonly calls: number;
  /** Milliseconds on the device; of a module with those inside it. */
  readonly totalMs: number;
  /** Without those inside. */
  readonly selfMs: number;
  /** Of a call. */
  readonly meanMs: number;
  /** Of the time that the device was busy. */
  readonly share: number;
  /** Floating-point operations of products; 0 for what does not multiply matrices. */
  readonly flops: number;
  /** 10⁹ of them a second. */
  readonly gflops: number | undefined;
  /** Read and written if each element of each argument is touched once. */
  readonly bytes: number;
  /** 10⁹ of them a second. */
  readonly gigabytesPerSecond: number;
}

interface Measured {
  calls: readonly Call[];
  spans: readonly Span[];
  wallMs: number;
  leftOut: number;
}

interface Sum {
  name: string;
  device: Device;
  calls: number;
  totalMs: number;
  selfMs: number;
  flops: number;
  bytes: number;
}

const outside = "(outside)";

/** What ran, and how long it took. */
export class Profile<T = unknown> {
  /** What the profiled function returned. */
  readonly result: T;
  /** All of it, from the first call of the function until the devices had nothing to do. */
  readonly wallMs: number;
  /** Every command, in the order in which JavaScript enqueued them. */
  readonly calls: readonly Call[];
  /** How many more there were than can be recorded: they are in no other number but `wallMs`. */
  readonly leftOut: number;
  private readonly spans: readonly Span[];

  /** @internal */
  constructor(result: T, { calls, spans, wallMs, leftOut }: Measured) {
    this.result = result;
    this.calls = calls;
    this.spans = spans;
    this.wallMs = wallMs;
    this.leftOut = leftOut;
  }

  /** By kernel. */
  get rows(): ProfileRow[] {
    return this.by("kernel");
  }

  /** Milliseconds that a device had something to do. */
  busyMs(device: Device): number {
    return this.calls.reduce((sum, c) => (c.device === device ? sum + c.end - c.start : sum), 0);
  }

  /** The most bytes that tensors of a device held when something was enqueued there. */
  peakBytes(device: Device): number {
    return this.calls.reduce((peak, c) => (c.device === device ? Math.max(peak, c.liveBytes) : peak), 0);
  }

  /** Floating-point operations of all products. */
  get flops(): number {
    return this.calls.reduce((sum, { flops }) => sum + flops, 0);
  }

  /**
   * The calls by kernel, by kernel and shapes, or by the module that enqueued them, the slowest group first.
   *
   * @throws ERR_ARGUMENT
   */
  by(grouping: Grouping): ProfileRow[] {
    if (!groupings.includes(grouping)) {
      throw new ArgumentError(
        `Profile.by: grouping must be one of ${groupings.join(", ")}; got ${String(grouping)}`,
      );
    }
    const sums = new Map<string, Sum>();
    const sumOf = (name: string, device: Device): Sum => {
      const key = `${device} ${name}`;
      let sum = sums.get(key);
      if (sum === undefined) {
        sum = { name, device, calls: 0, totalMs: 0, selfMs: 0, flops: 0, bytes: 0 };
        sums.set(key, sum);
      }
      return sum;
    };
    for (const call of this.calls) {
      const ms = call.end - call.start;
      const names =
        grouping === "kernel"
          ? [call.name]
          : grouping === "shape"
            ? [`${call.name} ${call.args ? showShapes(call.args) : ""}`.trimEnd()]
            : call.modules.length > 0
              ? call.modules
              : [outside];
      for (const name of new Set(names)) {
        const sum = sumOf(name, call.device);
        sum.calls++;
        sum.totalMs += ms;
        sum.flops += call.flops;
        sum.bytes += call.bytes;
      }
      sumOf(names.at(-1)!, call.device).selfMs += ms;
    }
    return [...sums.values()]
      .map((sum) => ({
        ...sum,
        meanMs: sum.totalMs / sum.calls,
        share: sum.totalMs / this.busyMs(sum.device),
        gflops: sum.flops > 0 ? sum.flops / sum.totalMs / 1e6 : undefined,
        gigabytesPerSecond: sum.bytes / sum.totalMs / 1e6,
      }))
      .sort((a, b) => b.totalMs - a.totalMs);
  }

  /** A table, the slowest group first, over a line for each device. */
  toString({ by = "kernel", limit = Infinity }: { by?: Grouping; limit?: number } = {}): string {
    const rows = this.by(by);
    const devices = [...new Set(this.calls.map(({ device }) => device))];
    const heads = devices.map((device) => {
      const busy = this.busyMs(device);
      const count = this.calls.filter((call) => call.device === device).length;
      return `${device}: busy ${showNumber(busy)} of ${showNumber(this.wallMs)} ms, ${count} calls, peak memory ${showBytes(this.peakBytes(device))}`;
    });
    const enqueued = this.calls.reduce((last, { enqueueEnd }) => Math.max(last, enqueueEnd), 0);
    const table = formatTable(
      [by, "calls", "ms", ...(by === "module" ? ["self ms"] : []), "mean µs", "share", "GFLOP/s", "GB/s"],
      rows
        .slice(0, limit)
        .map((row) => [
          devices.length > 1 ? `${row.name} (${row.device})` : row.name,
          String(row.calls),
          row.totalMs,
          ...(by === "module" ? [row.selfMs] : []),
          1000 * row.meanMs,
          `${(100 * row.share).toFixed(1)} %`,
          row.gflops,
          row.gigabytesPerSecond,
        ]),
    );
    const more = rows.length > limit ? [`and ${rows.length - limit} more`] : [];
    const lost = this.leftOut > 0 ? [`${this.leftOut} further calls were too many to record`] : [];
    const script = `JavaScript had enqueued all of it after ${showNumber(enqueued)} ms`;
    return [...heads, script, "", table, ...more, ...lost].join("\n");
  }

  /**
   * The same as events on a time line: of JavaScript (modules and what they enqueue), of each device, and the memory
   * that its tensors hold. Open it in ui.perfetto.dev, or in chrome://tracing.
   *
   * @see Google, "Trace Event Format"
   */
  toTrace(): TraceFile {
    return traceOf(this.calls, this.spans);
  }

  /** Writes `toTrace()` as JSON. */
  async save(path: string): Promise<void> {
    await writeFile(path, JSON.stringify(this.toTrace()));
  }
}
