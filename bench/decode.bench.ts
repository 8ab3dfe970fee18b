/**
 * Times the products of generating a token with GPT-2 124M (all of M = 1, bound by reading the weights) against PyTorch's
 * linear layers, in turns, a process each.
 *
 *   npm run bench:decode [-- --threads N ...] [--budget MS] [--python FILE] [--discard] [--json]
 *
 *   --threads   default: 1, and one a core
 *   --budget    milliseconds for one measurement, and at least three turns; default 1000
 *   --python    a Python that has torch; default: the environment variable PYTHON, or what bench:install has made
 *   --discard   leaves results.md as it is
 *   --json      one line of JSON at the end of the output
 *
 * GB/s are those of the weights. The ceiling is reading 256 MiB, in the same turns; weights that a cache holds in part, as
 * those of 768×768, may be above it. "/ PyTorch" is how many times as fast as PyTorch in that dtype the library is.
 */
import { parseArgs } from "node:util";
import "../src/functional.ts";
import path from "node:path";
import { bytesPerElement } from "../src/dtype.ts";
import { configure, info } from "../src/native.ts";
import { ceilingOf } from "./ceilings.ts";
import { decodeProducts, nameOf } from "./decode.ts";
import { timesOf } from "./measure.ts";
import {
  defaultThreads,
  findPython,
  Job,
  missing,
  ourProcess,
  Peer,
  type PeerProcess,
  pauseMs,
} from "./peer.ts";
import { publish } from "./record.ts";
import { type Cell, percent, show, times } from "./table.ts";

const { values } = parseArgs({
  options: {
    threads: { type: "string", multiple: true, default: defaultThreads() },
    budget: { type: "string", default: "1000" },
    python: { type: "string", default: process.env.PYTHON },
    discard: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const turnMs = 40;
const ceilingBytes = 2 ** 28;
const dtypes = ["f32", "bf16"] as const;
type Dtype = (typeof dtypes)[number];

const torch: PeerProcess = {
  name: "PyTorch",
  command: findPython(values.python),
  args: [path.resolve("bench/peers/decode_torch.py")],
};

/** All sizes together are a token. */
const everything = decodeProducts.map((_, i) => i);
const parts = [
  { name: "a token", sizes: everything },
  ...decodeProducts.map(({ product, count }, i) => ({ name: `${nameOf(product)}, ${count}`, sizes: [i] })),
];

const bytesOf = (sizes: readonly number[], dtype: Dtype): number =>
  sizes
    .map((i) => decodeProducts[i]!)
    .reduce((sum, { product, count }) => sum + count * product.N * product.K * bytesPerElement[dtype], 0);

interface Side {
  readonly dtype: Dtype;
  readonly ours: Peer;
  readonly theirs: Peer | undefined;
}

interface Result {
  readonly threads: number;
  readonly part: string;
  readonly dtype: Dtype;
  readonly ms: number;
  readonly theirMs: number | undefined;
  readonly bytes: number;
  /** GB/s of reading memory. */
  readonly ceiling: number;
}

async function measure(threads: number, sides: readonly Side[]): Promise<Result[]> {
  const results: Result[] = [];
  for (const { name, sizes } of parts) {
    const jobs = sides.flatMap(({ ours, theirs }) =>
      [ours, theirs].map((peer) => peer && new Job(peer, { sizes })),
    );
    const known = jobs.filter((job) => job !== undefined);
    const ceiling = ceilingOf({ read: ceilingBytes }, info().isa);
    const all = [...known, ...ceiling.contestants];
    const ms = await timesOf(all, Number(values.budget), { turnMs, pauseMs });
    const timeOf = (entry: (typeof jobs)[number]) =>
      entry === undefined ? undefined : ms[known.indexOf(entry)];
    for (const [i, { dtype }] of sides.entries()) {
      results.push({
        threads,
        part: name,
        dtype,
        ms: timeOf(jobs[2 * i])!,
        theirMs: timeOf(jobs[2 * i + 1]),
        bytes: bytesOf(sizes, dtype),
        ceiling: ceilingBytes / ceiling.leastMs(ms.slice(known.length)) / 1e6,
      });
    }
  }
  return results;
}

const results: Result[] = [];
const notes: string[] = [];
let peaks: string[] = [];
for (const threads of new Set(values.threads.map(Number))) {
  configure("threads", threads);
  const sides: Side[] = [];
  for (const dtype of dtypes) {
    const setup = { dtype, weights: decodeProducts };
    const ours = (await Peer.start(ourProcess("trainformer_decode"), threads, setup))!;
    sides.push({ dtype, ours, theirs: await Peer.start(torch, threads, setup) });
  }
  const version = sides[0]?.theirs?.version;
  if (version && notes.length === 0) notes.push(`PyTorch ${version}`);
  results.push(...(await measure(threads, sides)));
  peaks = sides
    .flatMap(({ dtype, ours, theirs }) =>
      [ours, theirs].map((peer) => peer && `${peer.name} ${dtype} ${show(peer.peakBytes / 1e6)} MB`),
    )
    .filter((text) => text !== undefined);
  for (const { ours, theirs } of sides) for (const peer of [ours, theirs]) peer?.stop();
}

const head = [
  "threads",
  "weights",
  "dtype",
  "ms",
  "GB/s",
  "read ceiling",
  "of ceiling",
  "PyTorch ms",
  "/ PyTorch",
];
const rows = results.map(({ threads, part, dtype, ms, theirMs, bytes, ceiling }): Cell[] => {
  const rate = bytes / ms / 1e6;
  return [
    String(threads),
    part,
    dtype,
    ms,
    rate,
    ceiling,
    percent(rate / ceiling),
    theirMs,
    theirMs && times(theirMs / ms),
  ];
});
publish(
  {
    program: "decode",
    notes: [...notes, ...missing, `peak memory: ${peaks.join(", ")}`],
    head,
    rows,
    left: 3,
  },
  values.discard,
);
if (values.json) console.log(JSON.stringify({ isa: info().isa, results }));
