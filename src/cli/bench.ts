import { isDevice } from "../device.ts";
import { type Device, device as openDevice, TrainformerError } from "../index.ts";
import { info, multipliesBf16 } from "../native.ts";
import { formatTable } from "../print.ts";
import { defineCommand, exitCodes } from "./command.ts";
import { type Measurement, measurements } from "./measurements.ts";
import { defaultsTo, flag, number, text, texts } from "./options.ts";
import { Status } from "./status.ts";
import { UsageError } from "./usage-error.ts";
import { version } from "./version.ts";

/** Units a second: of the runs the median, the slowest and the fastest, and how many there were. */
interface Speed {
  median: number;
  slowest: number;
  fastest: number;
  runs: number;
}

const minRuns = 3;

/** Runs it once to warm up, then for `seconds`, but three times at least. */
async function timed(
  { prepare, scale }: Measurement,
  device: Device,
  seconds: number,
  signal: AbortSignal,
): Promise<Speed> {
  const { work, run } = prepare(device);
  await run();
  const times: number[] = [];
  const start_ms = performance.now();
  while (times.length < minRuns || performance.now() - start_ms < 1000 * seconds) {
    signal.throwIfAborted();
    const before_ms = performance.now();
    await run();
    times.push((performance.now() - before_ms) / 1000);
  }
  times.sort((a, b) => a - b);
  const speed = (time: number) => work / time / scale;
  const median = speed(times[times.length >> 1]!);
  return { median, slowest: speed(times.at(-1)!), fastest: speed(times[0]!), runs: times.length };
}

/** The devices that were asked for, or the processor and the first GPU if there is one. */
function devicesOf(asked: readonly string[]): Device[] {
  if (asked.length > 0) {
    return [...new Set(asked)].map((name) => {
      if (isDevice(name)) return openDevice(name);
      throw new UsageError(`--device must be cpu, cuda or cuda:<number>; got ${JSON.stringify(name)}`);
    });
  }
  try {
    return ["cpu", openDevice("cuda")];
  } catch (error) {
    if (error instanceof TrainformerError && error.code === "ERR_NO_DEVICE") return ["cpu"];
    throw error;
  }
}

export const command = defineCommand({
  usage: "[options]",
  notes:
    "Each row is the median of what was measured in --seconds, after a first run that does not count, with the slowest " +
    "and the fastest; other programs that run meanwhile make it slower. Attention is forward and backward, of texts x " +
    "tokens x heads x their size; GPT has layers x width, and trains on texts x tokens.",
  options: {
    device: texts("NAME", "that computes: cpu, cuda, cuda:1 … (cpu, and cuda if there is one)"),
    seconds: defaultsTo(1, number(0, "for each row and device, at least")),
    only: text("TEXT", "rows that contain this text"),
    small: flag("sizes that measure nothing, for a look at whether it works"),
    json: flag("prints one JSON object"),
  },
  async run({ device: asked, seconds, only = "", small, json }, signal) {
    const chosen = measurements(small).filter(({ name }) => name.includes(only));
    if (chosen.length === 0) {
      const names = measurements(small).map(({ name }) => name);
      throw new UsageError(`--only must be in one of ${names.join("; ")}; got ${JSON.stringify(only)}`);
    }
    const devices = devicesOf(asked);
    const status = new Status();
    const rows: { name: string; unit: string; speeds: Record<string, Speed> }[] = [];
    try {
      for (const measurement of chosen) {
        const speeds: Record<string, Speed> = {};
        for (const device of devices) {
          status.update(measurement.name, device);
          speeds[device] = await timed(measurement, device, seconds, signal);
        }
        rows.push({ name: measurement.name, unit: measurement.unit, speeds });
      }
    } finally {
      status.end();
    }
    const { isa, threads } = info();
    if (json) {
      console.log(JSON.stringify({ version, isa, threads, multipliesBf16: multipliesBf16(), seconds, rows }));
      return exitCodes.done;
    }
    const bf16 = multipliesBf16() ? "" : " · no products of bf16";
    console.log(
      `trainformer ${version} · cpu ${isa} · ${threads} thread${threads === 1 ? "" : "s"}${bf16}\n`,
    );
    const table = devices.flatMap((device) =>
      rows.map(({ name, unit, speeds }) => {
        const { median, slowest, fastest } = speeds[device]!;
        return [name, ...(devices.length > 1 ? [device] : []), median, slowest, fastest, unit];
      }),
    );
    const head = ["", ...(devices.length > 1 ? ["on"] : []), "median", "slowest", "fastest", ""];
    console.log(formatTable(head, table, devices.length > 1 ? 2 : 1));
    return exitCodes.done;
  },
});
