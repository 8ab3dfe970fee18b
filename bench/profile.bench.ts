/**
 * Where the time of a training step goes: kernel by kernel, and outside of kernels.
 *
 *   npm run bench:profile [-- --model NAME --dtype bf16 --threads N --steps N --shapes --clock cpu --json]
 *
 *   --model     char (default), small or gpt2: see train.bench.ts
 *   --dtype     f32 (default) or bf16
 *   --threads   default: one a core
 *   --steps     default 20; times are medians over the steps
 *   --shapes    a row for each shape of a kernel's arguments, not only for each kernel
 *   --clock     "cpu": CPU time, for a busy machine; with --threads 1
 *   --json      one line of JSON at the end of the output
 *
 * Kernels are timed in synchronous mode, where each call returns when its kernel has run; JavaScript by leaving them out.
 * The whole step is timed as it runs otherwise, with JavaScript beside the kernels. Rates count what src/profile/work.ts does.
 */
import "./recorder.ts";
import { parseArgs } from "node:util";
import { configure, info, kernels } from "../src/native.ts";
import { argumentsOf } from "../src/profile/calls.ts";
import { bytesOf, flopsOf, showShapes } from "../src/profile/work.ts";
import { clocks, median } from "./measure.ts";
import { makeTraining, modelSizes } from "./models.ts";
import { type RecordedCall, recordCalls, withoutKernels } from "./recorder.ts";
import { formatTable, percent } from "./table.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "char" },
    dtype: { type: "string", default: "f32" },
    threads: { type: "string", default: String(info().cores) },
    steps: { type: "string", default: "20" },
    shapes: { type: "boolean", default: false },
    clock: { type: "string", default: "wall" },
    json: { type: "boolean", default: false },
  },
});
const warmUps = 3;
const javaScriptSteps = 200; // until all is compiled
const now = clocks[values.clock === "cpu" ? "cpu" : "wall"];
const byId = [...kernels.values()];

interface Total {
  name: string;
  shapes: string;
  calls: number;
  /** Per step. */
  ms: number[];
  flops: number;
  bytes: number;
}

/** Adds a call to its row. */
function tally(
  totals: Map<string, Total>,
  { kernel: id, dtype, words, ms }: RecordedCall,
  step: number,
): void {
  const kernel = byId[id]!;
  const args = argumentsOf(kernel, words, dtype === 1 ? "bf16" : "f32");
  const shapes = showShapes(args);
  const key = values.shapes ? `${kernel.name} ${shapes}` : kernel.name;
  const total = totals.get(key) ?? { name: kernel.name, shapes, calls: 0, ms: [], flops: 0, bytes: 0 };
  totals.set(key, total);
  total.calls++;
  total.ms[step] = (total.ms[step] ?? 0) + ms;
  total.flops += flopsOf(kernel.name, args);
  total.bytes += bytesOf(kernel.name, args);
}

const size = modelSizes[values.model];
if (size === undefined) {
  console.error(`--model must be one of ${Object.keys(modelSizes).join(", ")}; got ${values.model}`);
  process.exit(1);
}
const steps = Number(values.steps);
configure("threads", Number(values.threads));
configure("synchronous", true);
const trainStep = makeTraining(size, values.dtype === "bf16" ? "bf16" : "f32");
for (let i = 0; i < warmUps; i++) trainStep().dispose();
const totals = new Map<string, Total>();
for (let step = 0; step < steps; step++) {
  for (const call of recordCalls(now, () => trainStep().dispose())) tally(totals, call, step);
}
const javaScriptMs: number[] = [];
for (let step = 0; step < javaScriptSteps; step++) {
  const start = now();
  withoutKernels(() => trainStep().dispose());
  javaScriptMs.push(now() - start);
}
configure("synchronous", false);
const stepMs: number[] = [];
for (let step = 0; step < steps; step++) {
  const start = now();
  await trainStep().item();
  stepMs.push(now() - start);
}

const whole = median(stepMs);
const javaScript = median(javaScriptMs.slice(javaScriptSteps / 2));
const found = [...totals.values()]
  .map(({ ms, calls, flops, bytes, ...rest }) => {
    const time = median(ms);
    const amount = (flops || bytes) / steps;
    const unit = flops > 0 ? "GFLOP/s" : "GB/s";
    const rate = amount / time / 1e6;
    return { ...rest, calls: calls / steps, ms: time, rate, unit };
  })
  .sort((a, b) => b.ms - a.ms);
const calls = found.reduce((sum, row) => sum + row.calls, 0);
console.log(
  `${values.model} ${values.dtype}, ${info().isa}, threads: ${values.threads}, ${values.clock} time; per step:\n`,
);
const rows = [
  ...found.map(({ name, shapes, calls, ms, rate, unit }) => [
    name,
    ...(values.shapes ? [shapes] : []),
    String(calls),
    ms,
    percent(ms / whole),
    rate,
    unit,
  ]),
  ["JavaScript", ...(values.shapes ? [""] : []), "", javaScript, percent(javaScript / whole)],
  ["step", ...(values.shapes ? [""] : []), String(calls), whole, "100 %"],
];
const head = ["kernel", ...(values.shapes ? ["inputs"] : []), "calls", "ms", "share", "rate", ""];
console.log(formatTable(head, rows, values.shapes ? 2 : 1));
if (values.json)
  console.log(
    JSON.stringify({ ...values, isa: info().isa, stepMs: whole, javaScriptMs: javaScript, kernels: found }),
  );
