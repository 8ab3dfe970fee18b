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
 * The whole step is timed as it runs otherwise, with JavaScript beside the kernels. Rates count the operations of products and attention, and else each element
 * of each argument once (twice if it is added to). A ᵀ marks a transposed view.
 */
import "./recorder.ts";
import { parseArgs } from "node:util";
import { configure, info, type Kernel, kernels } from "../src/native.ts";
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

interface Argument {
  kind: string;
  shape: number[];
  strides: number[];
}

/** The tensors and the numbers among the words of a call. */
function argumentsOf(
  kernel: Kernel,
  words: Float64Array,
): { tensors: Argument[]; numbers: Map<string, number> } {
  const tensors: Argument[] = [];
  const numbers = new Map<string, number>();
  let at = 0;
  for (const { name, kind, rank } of kernel.parameters) {
    if (kind === "number") numbers.set(name, words[at++]!);
    else if (words[at] === -1) at++;
    else {
      const sizes = [...words.subarray(at + 2, at + 2 + 2 * rank)];
      tensors.push({ kind, shape: sizes.slice(0, rank), strides: sizes.slice(rank) });
      at += 2 + 2 * rank;
    }
  }
  return { tensors, numbers };
}

const product = (numbers: readonly number[]): number => numbers.reduce((a, b) => a * b, 1);

function describe({ shape, strides }: Argument): string {
  const isTransposed = shape.length > 1 && strides.at(-1) !== 1 && strides.at(-2) === 1;
  const sizes = shape.filter((n, axis) => n !== 1 || axis === shape.length - 1);
  return `[${sizes.join(" ")}]${isTransposed ? "ᵀ" : ""}`;
}

interface Total {
  name: string;
  shapes: string;
  calls: number;
  /** Per step. */
  ms: number[];
  flops: number;
  bytes: number;
}

/** Floating-point operations of matrix products and of attention; 0 for other kernels, which are bound by traffic. */
function flopsOf(name: string, tensors: readonly Argument[], numbers: ReadonlyMap<string, number>): number {
  if (name.startsWith("matmul")) return 2 * product(tensors[0]!.shape) * tensors.at(-1)!.shape.at(-1)!; // y [B, M, N]
  const [q, k] = name === "attention_forward" ? tensors : tensors.slice(1);
  if (!name.startsWith("attention")) return 0;
  const [S, reach] = [k!.shape[1]!, numbers.get("window") || Infinity];
  const keys = numbers.get("causal") ? Math.min(S / 2, reach) : Math.min(S, 2 * reach - 1); // of a query, on average
  return (name === "attention_forward" ? 2 : 5) * 2 * product(q!.shape) * keys;
}

/** Adds a call to its row. */
function tally(totals: Map<string, Total>, { kernel: id, words, ms }: RecordedCall, step: number): void {
  const kernel = byId[id]!;
  const { tensors, numbers } = argumentsOf(kernel, words);
  const inputs = tensors.filter(({ kind }) => kind !== "out");
  const shapes = (inputs.length > 0 ? inputs : tensors).map(describe).join(" ");
  const key = values.shapes ? `${kernel.name} ${shapes}` : kernel.name;
  const total = totals.get(key) ?? { name: kernel.name, shapes, calls: 0, ms: [], flops: 0, bytes: 0 };
  totals.set(key, total);
  total.calls++;
  total.ms[step] = (total.ms[step] ?? 0) + ms;
  total.flops += flopsOf(kernel.name, tensors, numbers);
  for (const { shape, kind } of tensors) total.bytes += (kind === "acc" ? 8 : 4) * product(shape);
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
    const rate = rest.name.startsWith("embedding") ? undefined : amount / time / 1e6; // which rows, it does not say
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
    rate === undefined ? "" : unit,
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
