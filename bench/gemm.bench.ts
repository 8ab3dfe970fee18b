/**
 * Times matrix products against OpenBLAS, oneDNN and MKL, in turns, a process each.
 *
 *   npm run bench:gemm [-- PRODUCT ...] [--threads N ...] [--budget MS] [--python FILE] [--discard] [--json]
 *
 *   PRODUCT     only products whose name contains it: "TN", "50257"
 *   --threads   default: 1, and one a core
 *   --budget    milliseconds for one measurement, and at least three turns; default 200
 *   --python    a Python whose PyTorch has the MKL to compare with, if no MKL is installed
 *   --discard   leaves results.md as it is
 *   --json      one line of JSON at the end of the output
 *
 * A column "/ NAME" is how many times as fast as that library ours is; "packed" is the library with b in its own layout,
 * packed in advance, which is for weights only. The ceiling is that of multiply-adds in f32, or for M = 1 of reading b in
 * f32; where a cache holds b, or the factors are bf16, a product may be above it. TN is less work for the peers: they
 * overwrite y.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import "../src/functional.ts";
import { configure, info } from "../src/native.ts";
import { ceilingOf } from "./ceilings.ts";
import { geometricMean, timesOf } from "./measure.ts";
import {
  defaultThreads,
  findPython,
  Job,
  missing,
  ourProcess,
  Peer,
  type PeerProcess,
  pauseMs,
  reportMissing,
} from "./peer.ts";
import { peersFolder } from "./peers/folder.ts";
import { flopsOf, type Layout, type Product } from "./products.ts";
import { publish } from "./record.ts";
import { type Cell, percent, show, times } from "./table.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    threads: { type: "string", multiple: true, default: defaultThreads() },
    budget: { type: "string", default: "200" },
    python: { type: "string", default: process.env.PYTHON },
    discard: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const turnMs = 20;

/** Those of a training step of GPT-2 at 512 tokens, squares, and those of generation. */
const shapes: readonly [Layout, M: number, N: number, K: number][] = [
  ["NT", 512, 2304, 768],
  ["NT", 512, 768, 768],
  ["NT", 512, 3072, 768],
  ["NT", 512, 768, 3072],
  ["NT", 512, 50257, 768],
  ["NN", 512, 768, 2304],
  ["NN", 512, 768, 3072],
  ["NN", 512, 768, 50257],
  ["TN", 2304, 768, 512],
  ["TN", 3072, 768, 512],
  ["TN", 50257, 768, 512],
  ["NT", 4096, 768, 768],
  ["NN", 1024, 1024, 1024],
  ["NN", 2048, 2048, 2048],
  ["NT", 1, 2304, 768],
  ["NT", 1, 50257, 768],
];
const nameOf = ({ layout, M, N, K }: Product): string => `${layout} ${M}×${N}×${K}`;
const products = shapes
  .map(([layout, M, N, K]) => ({ layout, M, N, K }))
  .filter((p) => positionals.length === 0 || positionals.some((part) => nameOf(p).includes(part)));
if (products.length === 0) {
  console.error(`no product is named like ${positionals.join(" or ")}`);
  process.exit(1);
}

/** A library's products, as gemm.cc with `source` makes them; undefined if that does not compile. */
function compile(name: string, source: string, ...libraries: string[]): string | undefined {
  mkdirSync(peersFolder, { recursive: true });
  const program = path.join(peersFolder, source);
  const sources = ["gemm.cc", `${source}.cc`].map((file) => path.join("bench/peers", file));
  const { status, stderr, error } = spawnSync(
    "g++",
    ["-O2", "-std=c++17", "-o", program, ...sources, ...libraries],
    { encoding: "utf8" },
  );
  if (status === 0) return program;
  reportMissing(
    name,
    error?.message ?? stderr.split("\n").find((line) => /error|cannot find/.test(line)) ?? stderr,
  );
  return undefined;
}

/** MKL, or else PyTorch's copy of it, which has its entry points. */
function findMkl(): string {
  const python = findPython(values.python);
  const code =
    "import sys, importlib.util as u; s = u.find_spec('torch'); print(sys.prefix, s and s.origin, sep='\\n')";
  const { stdout } = spawnSync(python, ["-c", code], { encoding: "utf8" });
  const [prefix, torch] = stdout?.trim().split("\n") ?? [];
  const lib = path.join(prefix || peersFolder, "lib");
  const installed = existsSync(lib)
    ? readdirSync(lib).find((file) => file.startsWith("libmkl_rt.so"))
    : undefined;
  const copy = torch && path.join(path.dirname(torch), "lib/libtorch_cpu.so");
  if (installed !== undefined) return path.join(lib, installed);
  return copy && existsSync(copy) ? copy : "libmkl_rt.so";
}

function peerProcesses(): PeerProcess[] {
  const blas = compile("a BLAS", "gemm_blas", "-ldl");
  const oneDnn = compile("oneDNN", "gemm_onednn", "-ldnnl");
  return [
    ...(blas ? [{ name: "OpenBLAS", command: blas, args: ["libopenblas.so.0"] }] : []),
    ...(oneDnn ? [{ name: "oneDNN", command: oneDnn, args: [] }] : []),
    ...(blas ? [{ name: "MKL", command: blas, args: [findMkl()] }] : []),
  ];
}

interface Result extends Product {
  readonly threads: number;
  /** Milliseconds by dtype and library, "f32 oneDNN packed"; ours are "f32" and "bf16". */
  readonly ms: Readonly<Record<string, number>>;
  /** The least that an f32 product could take. */
  readonly leastMs: number;
}

const dtypes = ["f32", "bf16"] as const;

async function measure(
  product: Product,
  threads: number,
  ours: Peer,
  peers: readonly Peer[],
): Promise<Result> {
  const { layout, M, N, K } = product;
  const request = { layout, M, N, K };
  const contestants = new Map<string, Job>();
  for (const dtype of dtypes) {
    contestants.set(dtype, new Job(ours, { ...request, dtype }));
    for (const peer of peers) {
      for (const packed of layout === "TN" ? [false] : [false, true]) {
        const job = new Job(peer, { ...request, dtype, packed });
        if ((await job.turn(1)) >= 0) contestants.set(`${dtype} ${peer.name}${packed ? " packed" : ""}`, job);
      }
    }
  }
  const amount = M === 1 ? { read: 4 * N * K } : { flops: flopsOf(product) };
  const ceiling = ceilingOf(amount, info().isa);
  const all = [...contestants.values(), ...ceiling.contestants];
  const ms = await timesOf(all, Number(values.budget), { turnMs, pauseMs });
  return {
    ...product,
    threads,
    ms: Object.fromEntries([...contestants.keys()].map((name, i) => [name, ms[i]!])),
    leastMs: ceiling.leastMs(ms.slice(contestants.size)),
  };
}

const peersTo = (dtype: string, { ms }: Result): string[] =>
  Object.keys(ms).filter((name) => name.startsWith(`${dtype} `));
const ratio = (name: string, { ms }: Result): number | undefined =>
  ms[name] === undefined ? undefined : ms[name] / ms[name.split(" ")[0]!]!;
const ratioToBest = (dtype: string, result: Result): number | undefined => {
  const names = peersTo(dtype, result);
  return names.length === 0 ? undefined : Math.min(...names.map((name) => ratio(name, result)!));
};

const processes = peerProcesses();
const results: Result[] = [];
let versions: string[] = [];
let peaks: string[] = [];
for (const threads of values.threads.map(Number)) {
  configure("threads", threads);
  const ours = (await Peer.start(ourProcess("trainformer_gemm"), threads, {}))!;
  const started = await Promise.all(processes.map((one) => Peer.start(one, threads, {})));
  const peers = started.filter((peer) => peer !== undefined);
  versions = peers.map(({ version }) => version);
  for (const product of products) {
    results.push(await measure(product, threads, ours, peers));
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${nameOf(product)}, threads: ${threads}`);
  }
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  peaks = [ours, ...peers].map(({ name, peakBytes }) => `${name} ${show(peakBytes / 1e6)} MB`);
  for (const peer of [ours, ...peers]) peer.stop();
}

/** A row for one result, or for the geometric means over several. */
function row(name: string, members: readonly Result[], columns: readonly string[]): Cell[] {
  const mean = (value: (result: Result) => number | undefined): number | undefined => {
    const known = members.map(value).filter((x) => x !== undefined);
    return known.length === 0 ? undefined : geometricMean(known);
  };
  const shown = (x: number | undefined) => (x === undefined ? undefined : times(x));
  const cells = dtypes.flatMap((dtype) => [
    mean((r) => flopsOf(r) / r.ms[dtype]! / 1e6),
    percent(mean((r) => r.leastMs / r.ms[dtype]!)!),
    shown(mean((r) => ratioToBest(dtype, r))),
    ...columns.filter((c) => c.startsWith(`${dtype} `)).map((c) => shown(mean((r) => ratio(c, r)))),
  ]);
  return [String(members[0]!.threads), name, ...cells];
}

const columns = [...new Set(results.flatMap((result) => dtypes.flatMap((dtype) => peersTo(dtype, result))))];
const head = [
  "threads",
  "product",
  ...dtypes.flatMap((dtype) => [
    `${dtype} GFLOP/s`,
    "of ceiling",
    "/ best",
    ...columns.filter((c) => c.startsWith(`${dtype} `)).map((c) => `/ ${c.slice(dtype.length + 1)}`),
  ]),
];
const rows = [...new Set(results.map(({ threads }) => threads))].flatMap((threads) => {
  const own = results.filter((result) => result.threads === threads);
  const groups = {
    "geometric mean, M > 1": own.filter(({ M }) => M > 1),
    "geometric mean, M = 1": own.filter(({ M }) => M === 1),
  };
  const means = Object.entries(groups).filter(([, members]) => members.length > 1);
  return [
    ...own.map((r) => row(nameOf(r), [r], columns)),
    ...means.map(([name, members]) => row(name, members, columns)),
  ];
});
const notes = [versions.join("; "), ...missing, `peak memory: ${peaks.join(", ")}`];
publish({ program: "gemm", notes, head, rows, left: 2 }, values.discard);
if (values.json) console.log(JSON.stringify({ isa: info().isa, results }));
