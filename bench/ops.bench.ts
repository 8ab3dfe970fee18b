/**
 * Times every op of test/cases at the size that the case calls "model", on every instruction set that the processor has.
 *
 *   npm run bench [-- NAME ...] [--forward] [--threads N] [--budget MS] [--clock cpu] [--json]
 *
 *   NAME        only ops whose name contains it, whatever the case
 *   --forward   no backward passes
 *   --threads   of the kernels; default: one a core
 *   --budget    milliseconds for one measurement; default 500
 *   --clock     "cpu": CPU time in place of elapsed time, for a busy machine; with --threads 1
 *   --json      one line of JSON at the end of the output
 *
 * "of ceiling" is the least time that the processor could take, measured in the same turns (see ceilings.ts), over the
 * time that the op takes. "x" is how many times as fast it is as the portable kernels, which any processor runs.
 */
import os from "node:os";
import { parseArgs } from "node:util";
import "../src/functional.ts";
import { configure, info } from "../src/native.ts";
import { loadCases, makeJob, type Pass } from "./cases.ts";
import { bytesOf, ceilingOf, measurePeaks, type Peaks } from "./ceilings.ts";
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
  },
});
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
async function measure(opCase: Awaited<ReturnType<typeof loadCases>>[number], pass: Pass): Promise<Row[]> {
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

configure("threads", threads);
const machine = `${os.cpus()[0]?.model ?? os.arch()}, ${info().cores} cores, ${isas.join(" ")}`;
const cases = (await loadCases()).filter(
  ({ name }) => names.length === 0 || names.some((part) => name.toLowerCase().includes(part.toLowerCase())),
);
if (cases.length === 0) {
  console.error(`no op with a size to time is named like ${names.join(" or ")}`);
  process.exit(1);
}
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
  for (const pass of values.forward ? (["forward"] as const) : (["forward", "backward"] as const)) {
    const measured = await measure(opCase, pass);
    if (measured.length > 0) rows.push(measured);
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${opCase.name}, ${pass}`);
  }
}
if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");

const perIsa = isas.flatMap((isa) => [`${isa} ms`, "of ceiling", ...(isa === isas[0] ? [] : ["x"])]);
console.log(formatTable(["op", "pass", ...perIsa, `${isas.at(-1)}:`, "rate"], rows.map(tableRow), 2));
if (values.json) console.log(JSON.stringify({ machine, threads, isas, costs, peaks, rows: rows.flat() }));
