/**
 * Times every op of test/cases at the size that the case calls "model", on every instruction set that the processor has,
 * or on a CUDA device.
 *
 *   npm run bench [-- NAME ...] [--forward] [--threads N] [--budget MS] [--clock cpu] [--json]
 *   npm run bench -- --device cuda [NAME ...] [--forward] [--threads N] [--budget MS] [--python FILE] [--discard] [--json]
 *
 *   NAME        only ops whose name contains it, whatever the case
 *   --forward   no backward passes
 *   --threads   of the kernels; default: one a core
 *   --budget    milliseconds for one measurement; default 500
 *   --clock     "cpu": CPU time in place of elapsed time, for a busy machine; with --threads 1
 *   --json      one line of JSON at the end of the output
 *   --device    in f32 and bf16 on "cuda" (or "cuda:1") and on the processor
 *   --python    a Python that has torch with CUDA; default: the environment variable PYTHON, or what bench:install has made
 *   --discard   leaves results.md and cuda-model.md as they are; so does an emulated device
 *
 * "of ceiling" is the least time that the processor could take, measured in the same turns (see ceilings.ts), over the
 * time that the op takes. "x" is how many times as fast it is as the portable kernels, which any processor runs.
 *
 * On a CUDA device the ceiling of products is the datasheet's rate of tensor cores (datasheet.ts). Short kernels are bound
 * by launching them: "smallest" is the time of the same op at its smallest size. "/ NAME" is how many times as fast as the
 * processor, or as PyTorch on that device, it is.
 */
import os from "node:os";
import { parseArgs } from "node:util";
import "../src/functional.ts";
import type { Device } from "../src/device.ts";
import { configure, info } from "../src/native.ts";
import type { OpCase } from "../test/case.ts";
import { loadCases, makeJob, type Pass, withLarger } from "./cases.ts";
import { bytesOf, ceilingOf, measurePeaks, type Peaks } from "./ceilings.ts";
import { benchCuda } from "./cuda.ts";
import { setClock, timesOf } from "./measure.ts";
import { type CallCosts, measureCallCosts } from "./overhead.ts";
import { formatTable, percent, show, times } from "./table.ts";

const { values, positionals: names } = parseArgs({
  allowPositionals: true,
  options: {
    forward: { type: "boolean", default: false },
    threads: { type: "string", default: String(info().cores) },
    budget: { type: "string", default: "500" },
    clock: { type: "string", default: "wall" },
    json: { type: "boolean", default: false },
    device: { type: "string", default: "cpu" },
    python: { type: "string", default: process.env.PYTHON },
    discard: { type: "boolean", default: false },
  },
});
const onCuda = values.device !== "cpu";
const passes: readonly Pass[] = values.forward ? ["forward"] : ["forward", "backward"];
const threads = Number(values.threads);
const budgetMs = Number(values.budget);
const isas = info()
  .isas.filter((isa) => isa.supported)
  .map((isa) => isa.name);

interface Row {
  name: string;
  pass: Pass;
  isa: string;
  ms: number;
  /** GFLOP/s, or GB/s of the bytes that must move. */
  rate: number;
  unit: "GFLOP/s" | "GB/s";
  ofCeiling: number;
  timesScalar: number;
}

/** One pass of one case, on all instruction sets in turns with their ceilings. */
async function measure(opCase: OpCase, pass: Pass): Promise<Row[]> {
  const job = makeJob(opCase, pass);
  if (job === undefined) return [];
  const { amount } = job;
  const ceilings = isas.map((isa) => ceilingOf(amount, amount.flops === undefined ? isas.at(-1)! : isa));
  // Traffic has the same ceiling on every instruction set.
  const measured = amount.flops === undefined ? ceilings.slice(0, 1) : ceilings;
  const runs = isas.map((isa) => ({ begin: () => configure("isa", isa), run: job.run }));
  const all = await timesOf([...runs, ...measured.flatMap((c) => c.contestants)], budgetMs);
  job.dispose();
  let at = isas.length;
  const least = measured.map((c) => c.leastMs(all.slice(at, (at += c.contestants.length))));
  return isas.map((isa, i) => {
    const ms = all[i]!;
    const rate = (amount.flops ?? bytesOf(amount)) / ms / 1e6;
    const unit = amount.flops === undefined ? "GB/s" : "GFLOP/s";
    const ofCeiling = (least[i] ?? least[0]!) / ms;
    return { name: opCase.name, pass, isa, ms, rate, unit, ofCeiling, timesScalar: all[0]! / ms };
  });
}

function printPeaks(peaks: readonly Peaks[], costs: CallCosts): void {
  const line = (name: string, unit: string, value: (p: Peaks) => number) => [name, unit, ...peaks.map(value)];
  const rows = [
    ...isas.map((isa) => line(`multiply-adds, ${isa}`, "GFLOP/s", (p) => p.fma[isa]!)),
    ...(["read", "write", "copy"] as const).map((kind) => line(`memory, ${kind}`, "GB/s", (p) => p[kind])),
  ];
  const head = ["ceiling", "unit", ...peaks.map((p) => `${p.threads} thread${p.threads > 1 ? "s" : ""}`)];
  console.log(`${formatTable(head, rows, 2)}\n`);
  console.log(
    `one call: ${show(costs.opUs)} us for an op on one element, of which ${show(costs.nativeUs)} us are the border and the queue\n`,
  );
}

/** A row for all instruction sets of one pass of one op. */
function tableRow(rows: readonly Row[]): (string | number)[] {
  const { name, pass, unit, rate } = rows.at(-1)!;
  const perIsa = rows.flatMap(({ isa, ms, ofCeiling, timesScalar }) => [
    ms,
    percent(ofCeiling),
    ...(isa === isas[0] ? [] : [times(timesScalar)]),
  ]);
  return [name, pass, ...perIsa, show(rate), unit];
}

async function benchProcessor(cases: readonly OpCase[]): Promise<void> {
  configure("threads", threads);
  const machine = `${os.cpus()[0]?.model ?? os.arch()}, ${info().cores} cores, ${isas.join(" ")}`;
  console.log(`${machine}; ops with ${threads} thread${threads > 1 ? "s" : ""}, f32, ${values.clock} time\n`);
  const costs = await measureCallCosts(budgetMs);
  if (values.clock === "cpu") {
    setClock("cpu");
    configure("synchronous", true); // the system knows the CPU time of the thread that asks for it best
  }
  const peaks: Peaks[] = [];
  const counts = values.clock === "cpu" ? [threads] : [1, info().cores, threads];
  for (const count of new Set(counts)) peaks.push(await measurePeaks(isas, count, budgetMs));
  printPeaks(peaks, costs);

  configure("threads", threads);
  const rows: Row[][] = [];
  for (const opCase of cases) {
    for (const pass of passes) {
      const measured = await measure(opCase, pass);
      if (measured.length > 0) rows.push(measured);
      if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${opCase.name}, ${pass}`);
    }
  }
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");

  const perIsa = isas.flatMap((isa) => [`${isa} ms`, "of ceiling", ...(isa === isas[0] ? [] : ["x"])]);
  console.log(formatTable(["op", "pass", ...perIsa, `${isas.at(-1)}:`, "rate"], rows.map(tableRow), 2));
  if (values.json) console.log(JSON.stringify({ machine, threads, isas, costs, peaks, rows: rows.flat() }));
}

const all = await loadCases();
const isNamed = ({ name }: OpCase): boolean =>
  names.length === 0 || names.some((part) => name.toLowerCase().includes(part.toLowerCase()));
const cases = (onCuda ? withLarger(all) : all).filter(isNamed);
if (cases.length === 0) {
  console.error(`no op with a size to time is named like ${names.join(" or ")}`);
  process.exit(1);
}
if (onCuda) {
  const { python, discard, json } = values;
  const device = values.device as Device;
  await benchCuda(cases, { device, passes, threads, budgetMs, python, discard, json });
} else {
  await benchProcessor(cases);
}
