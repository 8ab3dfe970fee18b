/** The ops on a CUDA device, beside its ceilings, the processor and PyTorch: what ops.bench.ts runs with --device. */
import path from "node:path";
import { type Device, deviceNumber, device as open } from "../src/device.ts";
import { configure, type DeviceInfo, info } from "../src/native.ts";
import { sizeOf } from "../src/shape.ts";
import { isIds, type OpCase, shapeOf } from "../test/case.ts";
import { baseName, type JobOptions, makeJob, type Pass } from "./cases.ts";
import { bytesOf, type Ceiling, ceilingOf, cudaSite, measureCudaPeaks, type Site } from "./ceilings.ts";
import { fillMeasured } from "./cuda-tables.ts";
import { type Datasheet, datasheetOf } from "./datasheet.ts";
import { type Contestant, timesOf } from "./measure.ts";
import { findPython, Job, missing, Peer } from "./peer.ts";
import { publish } from "./record.ts";
import { type Cell, formatTable, percent, show, times } from "./table.ts";

export interface CudaOptions {
  readonly device: Device;
  readonly passes: readonly Pass[];
  readonly threads: number;
  readonly budgetMs: number;
  readonly python: string | undefined;
  readonly discard: boolean;
  readonly json: boolean;
}

const dtypes = ["f32", "bf16"] as const;
const turnMs = 10;

interface Row {
  readonly name: string;
  readonly pass: Pass;
  readonly dtype: (typeof dtypes)[number];
  readonly ms: number;
  /** GFLOP/s, or GB/s of the bytes that must move. */
  readonly rate: number;
  readonly unit: "GFLOP/s" | "GB/s";
  readonly ofCeiling: number | undefined;
  /** At the case's smallest size: what a call costs. */
  readonly smallestMs: number;
  /** How many times as fast as the processor, and as PyTorch. */
  readonly timesCpu: number;
  readonly timesTorch: number | undefined;
}

/** The least time of products is that of tensor cores in the datasheet; products of f32 are three of bf16. */
function ceilingFor(
  { multiplies }: OpCase,
  flops: number | undefined,
  dtype: string,
  sheet: Datasheet | undefined,
): Ceiling | undefined {
  if (flops === undefined || (dtype === "f32" && !multiplies)) return undefined;
  const rate = (sheet?.bf16 ?? Number.NaN) * 1e9;
  return { contestants: [], leastMs: () => (flops * (dtype === "f32" ? 3 : 1)) / rate };
}

/** The name of the size with the fewest elements, of those that have some. */
function smallestSize({ sizes }: OpCase): string {
  const elements = (name: string) => Object.values(sizes[name]!).map((input) => sizeOf(shapeOf(input)));
  const total = (name: string) => elements(name).reduce((a, b) => a + b);
  const some = Object.keys(sizes).filter((name) => Math.min(...elements(name)) > 0);
  return some.reduce((a, b) => (total(b) < total(a) ? b : a));
}

const withDtype = (opCase: OpCase, dtype: string): boolean =>
  opCase.dtypes === undefined || opCase.dtypes.some((known) => known === dtype);

async function measure(
  opCase: OpCase,
  pass: Pass,
  dtype: Row["dtype"],
  site: Site,
  sheet: Datasheet | undefined,
  torch: Peer | undefined,
  budgetMs: number,
): Promise<Row | undefined> {
  const jobs = [
    { device: site.device, size: "model" },
    { device: site.device, size: smallestSize(opCase) },
    { device: "cpu", size: "model" },
  ].map((options) => makeJob(opCase, pass, { ...(options as JobOptions), dtype, trainable: true }));
  if (jobs[0] === undefined) return undefined;
  const { amount } = jobs[0];
  const ceiling = ceilingFor(opCase, amount.flops, dtype, sheet) ?? ceilingOf(amount, undefined, site);
  const contestants: Contestant[] = [...jobs.map((job) => job!), ...ceiling.contestants];
  const peerJob = torch && new Job(torch, torchRequest(opCase, pass, dtype));
  const knows = peerJob !== undefined && (await peerJob.turn(1)) >= 0;
  if (knows) contestants.push(peerJob);
  const all = await timesOf(contestants, budgetMs, { turnMs });
  for (const job of jobs) job!.dispose();
  const [ms, smallestMs, cpuMs] = all as [number, number, number];
  const least = ceiling.leastMs(all.slice(3, 3 + ceiling.contestants.length));
  return {
    name: opCase.name,
    pass,
    dtype,
    ms,
    rate: (amount.flops ?? bytesOf(amount)) / ms / 1e6,
    unit: amount.flops === undefined ? "GB/s" : "GFLOP/s",
    ofCeiling: Number.isNaN(least) ? undefined : least / ms,
    smallestMs,
    timesCpu: cpuMs / ms,
    timesTorch: knows ? all.at(-1)! / ms : undefined,
  };
}

const torchRequest = ({ name, sizes }: OpCase, pass: Pass, dtype: string) => ({
  op: baseName(name),
  pass,
  dtype,
  inputs: Object.entries(sizes.model!).map(([input, of]) => ({
    name: input,
    shape: shapeOf(of),
    below: isIds(of) && "below" in of ? of.below : undefined,
  })),
});

function startTorch({ python, threads }: CudaOptions): Promise<Peer | undefined> {
  const command = findPython(python);
  const args = [path.resolve("bench/peers/torch_ops.py")];
  return Peer.start({ name: "PyTorch", command, args }, threads, { device: "cuda" });
}

const emulatedWarning =
  "THE DEVICE IS EMULATED on the processor: this shows that the benchmark runs, and its times say NOTHING.";

function describe(facts: DeviceInfo, sheet: Datasheet | undefined): string[] {
  const { name, capability = 0, multiprocessors, driverVersion = 0, runtimeVersion = 0 } = facts;
  const version = (v: number) => `${Math.floor(v / 1000)}.${Math.floor((v % 1000) / 10)}`;
  return [
    `${name}, compute capability ${(capability / 10).toFixed(1)}, ${multiprocessors} multiprocessors, driver ${version(driverVersion)}, CUDA ${version(runtimeVersion)}`,
    sheet === undefined
      ? "the datasheet's rates of this device are not in bench/datasheet.ts: products have no ceiling"
      : `datasheet: ${sheet.bf16} TFLOP/s in bf16 on tensor cores, ${sheet.f32} in f32 on the others, ${sheet.memory} GB/s`,
  ];
}

const cells = (row: Row): Cell[] => [
  row.name,
  row.pass,
  row.dtype,
  row.ms,
  show(row.rate),
  row.unit,
  row.ofCeiling === undefined ? undefined : percent(row.ofCeiling),
  1000 * row.smallestMs,
  times(row.timesCpu),
  row.timesTorch === undefined ? undefined : times(row.timesTorch),
];
const head = [
  "op",
  "pass",
  "dtype",
  "ms",
  "rate",
  "",
  "of ceiling",
  "smallest, us",
  "/ processor",
  "/ PyTorch",
];

/** Times cases, prints them, and unless the device is emulated records them. */
export async function benchCuda(cases: readonly OpCase[], options: CudaOptions): Promise<void> {
  const { threads, budgetMs, passes } = options;
  const device = open(options.device);
  const facts = info().devices[deviceNumber(device)]!;
  const sheet = datasheetOf(facts.name ?? "");
  configure("threads", threads);
  if (facts.emulated) console.log(`${emulatedWarning}\n`);

  const site = cudaSite(device, facts);
  const peaks = await measureCudaPeaks(site, budgetMs);
  const torch = facts.emulated ? undefined : await startTorch(options);
  const notes = [
    ...describe(facts, sheet),
    `measured: ${show(peaks.fma / 1000)} TFLOP/s of multiply-adds in f32; ${show(peaks.read)} GB/s read, ${show(peaks.write)} written, ${show(peaks.copy)} copied, of ${site.memoryBytes / 2 ** 20} MiB`,
    `the processor with ${threads} thread${threads === 1 ? "" : "s"}, ${info().isa}, in the same dtype`,
    torch === undefined ? "" : `PyTorch ${torch.version}, float32_matmul_precision "high"`,
  ];
  console.log(notes.filter(Boolean).join("\n"));

  const rows: Row[] = [];
  for (const opCase of cases) {
    for (const pass of passes) {
      for (const dtype of dtypes.filter((one) => withDtype(opCase, one))) {
        const row = await measure(opCase, pass, dtype, site, sheet, torch, budgetMs);
        if (row !== undefined) rows.push(row);
        if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${opCase.name}, ${pass}, ${dtype}`);
      }
    }
  }
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  torch?.stop();

  if (facts.emulated) {
    console.log(`\n${formatTable(head, rows.map(cells), 3)}\n\n${emulatedWarning} Nothing was recorded.`);
  } else {
    const lines = [...notes, ...missing].filter(Boolean);
    publish({ program: "ops", notes: lines, head, rows: rows.map(cells), left: 3 }, options.discard);
    if (!options.discard) fillMeasured(facts.name!, rows);
  }
  if (options.json) console.log(JSON.stringify({ device: facts, peaks, rows }));
}
