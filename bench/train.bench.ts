/**
 * Times a training step (forward, backward, AdamW, the loss read) against PyTorch's and those of libraries of
 * JavaScript, in turns, a process each.
 *
 *   npm run bench:train [-- --model NAME ...] [--threads N ...] [--seconds S] [--device cuda] [--graphs] [--python FILE]
 *                          [--eager] [--discard] [--json]
 *
 *   --model     char (4 layers, 128 wide, 12 sequences of 64), small (6 layers, 384 wide), gpt2 (124M parameters,
 *               4 sequences of 64), gpt2-256 (of 256), encdec (6+6 layers, 512 wide, 16 pairs of 32);
 *               default: all but gpt2-256
 *   --threads   default: one a core
 *   --seconds   for each model and number of threads, beside what choosing the peer takes; default 15
 *   --device    where both train; "cuda" leaves out the libraries of JavaScript
 *   --graphs    the library's steps are recorded as CUDA graphs
 *   --python    a Python that has torch; default: the environment variable PYTHON, or what bench:install has made
 *   --eager     leaves out torch.compile, which takes a minute for a model when first seen
 *   --discard   leaves results.md as it is
 *   --json      one line of JSON at the end of the output
 *
 * A pilot tries PyTorch's modes: f32 or bf16 autocast, with fused or plain attention; then torch.compile of both dtypes,
 * with the attention that was faster without it. The fastest of f32 and the fastest of all take turns with the library.
 * The libraries of JavaScript train the char model only, in f32, with Adam in place of AdamW; they take turns with the
 * library apart from PyTorch.
 *
 * "of ceiling" is the rate of the step's products over that of multiply-adds in f32, measured in the same turns. "ours f32"
 * and "ours best" are how many times as fast as that side the library is, in f32 and in its faster dtype, by medians of
 * elapsed time; "ours f32 peak" is its largest memory over that side's. On a CUDA device the ceiling is the datasheet's rate of
 * tensor cores in bf16, for f32 as well, and memory is that of the device.
 */
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type Device, deviceNumber, device as openDevice } from "../src/device.ts";
import { configure, info } from "../src/native.ts";
import { type Ceiling, ceilingOf } from "./ceilings.ts";
import { datasheetOf } from "./datasheet.ts";
import { median, timesOf } from "./measure.ts";
import { flopsOf, modelSizes } from "./models.ts";
import { findPython, missing, ourProcess, Peer, type PeerProcess, pauseMs, reportMissing } from "./peer.ts";
import { publish } from "./record.ts";
import { percent, show, times } from "./table.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string", multiple: true, default: ["char", "small", "gpt2", "encdec"] },
    threads: { type: "string", multiple: true, default: [String(info().cores)] },
    seconds: { type: "string", default: "15" },
    python: { type: "string", default: process.env.PYTHON },
    device: { type: "string", default: "cpu" },
    graphs: { type: "boolean", default: false },
    eager: { type: "boolean", default: false },
    discard: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

const { graphs } = values;
const device = openDevice(values.device as Device);
const facts = info().devices[deviceNumber(device)]!;
if (facts.emulated) console.log("THE DEVICE IS EMULATED on the processor: its times say NOTHING.");
const discards = values.discard || facts.emulated === true;

const dtypes = ["f32", "bf16"] as const;
const warmUps = 2;
const fewestTurns = 3;
const turnMs = 300;
const pilotMs = 1500;

interface Steps {
  /** Milliseconds of each step: elapsed, and of CPU time on all threads. */
  readonly wall: readonly number[];
  readonly cpu: readonly number[];
  readonly loss: number;
  /** The largest memory of the process so far. */
  readonly peakBytes: number;
}

interface Runner {
  readonly isOurs: boolean;
  readonly name: string;
  readonly mode: string;
  readonly peer: Peer;
}

interface Side {
  readonly isOurs: boolean;
  readonly name: string;
  readonly version: string;
  readonly wallMs: number;
  readonly ofCeiling: number | undefined;
  readonly cpuMs: number;
  readonly steps: number;
  readonly loss: number;
  readonly peakMB: number;
}

/** Undefined, and a line that says so, if the process cannot train that way. */
async function train({ name, mode, peer }: Runner, steps: number): Promise<Steps | undefined> {
  const answer = await peer.ask<Steps & { failed?: string }>({ steps, mode });
  if (answer.failed === undefined) return answer;
  reportMissing(`${name}, ${mode}`, answer.failed);
  return undefined;
}

const torch: PeerProcess = {
  name: "PyTorch",
  command: findPython(values.python),
  args: [path.resolve("bench/peers/train_torch.py")],
};
const scriptLibraries: readonly PeerProcess[] = [
  { ...ourProcess("train_jax"), name: "jax-js" },
  { ...ourProcess("train_tfjs"), name: "tfjs-wasm" },
];

/** PyTorch's modes that a pilot finds fastest: of f32, and of all. */
async function fastestModes(threads: number, setup: object): Promise<string[]> {
  const peer = await Peer.start(torch, threads, setup);
  if (peer === undefined) return [];
  const speeds = new Map<string, number>();
  const attempt = async (mode: string) => {
    const runner = { isOurs: false, name: "PyTorch", mode, peer };
    const first = await train(runner, 1);
    if (first === undefined) return;
    const second = (await train(runner, 1))!.wall[0]!;
    const steps = Math.min(5, Math.ceil(pilotMs / second));
    const more = second > pilotMs ? [] : (await train(runner, steps))!.wall;
    speeds.set(mode, Math.min(second, ...more));
  };
  const fastest = (dtype: string): string | undefined =>
    [...speeds.keys()]
      .filter((mode) => mode.startsWith(dtype))
      .sort((a, b) => speeds.get(a)! - speeds.get(b)!)[0];
  for (const dtype of dtypes)
    for (const attention of ["sdpa", "plain"]) await attempt(`${dtype} ${attention}`);
  if (!values.eager) for (const dtype of dtypes) await attempt(`${fastest(dtype)} compile`);
  peer.stop();
  return [...new Set([fastest("f32")!, fastest("")!])];
}

/** Of the processor it is measured; of a CUDA device it may not be known. */
function ceilingOfDevice(flops: number): Ceiling {
  if (device === "cpu") return ceilingOf({ flops }, info().isa);
  const rate = datasheetOf(facts.name ?? "")?.bf16 ?? Number.NaN;
  return { contestants: [], leastMs: () => flops / rate / 1e9 };
}

/** Lets all take turns until `seconds` have passed; `flops` of a step. */
async function takeTurns(runners: readonly Runner[], seconds: number, flops: number): Promise<Side[]> {
  const states = [];
  for (const runner of runners) {
    const warm = await train(runner, warmUps);
    if (warm === undefined) continue;
    const steps = Math.max(1, Math.round(turnMs / warm.wall.at(-1)!));
    states.push({ runner, steps, turns: [] as Steps[] });
  }
  const ceiling = ceilingOfDevice(flops);
  const least: number[] = [];
  const end = performance.now() + 1000 * seconds;
  for (let turn = 0; turn < fewestTurns || performance.now() < end; turn++) {
    for (const { runner, steps, turns } of states) {
      await sleep(pauseMs);
      turns.push((await train(runner, steps))!);
    }
    await sleep(pauseMs);
    least.push(ceiling.leastMs(await timesOf(ceiling.contestants, 0)));
  }
  return states.map(({ runner: { isOurs, name, mode, peer }, turns }) => {
    const wall = turns.flatMap((turn) => turn.wall);
    const ofCeiling = median(least) / median(wall);
    return {
      isOurs,
      name: mode === "" ? name : `${name}, ${mode}`,
      version: peer.version,
      wallMs: median(wall),
      ofCeiling: Number.isNaN(ofCeiling) ? undefined : ofCeiling,
      cpuMs: median(turns.flatMap((turn) => turn.cpu)),
      steps: wall.length,
      loss: turns.at(-1)!.loss,
      peakMB: turns.at(-1)!.peakBytes / 1e6,
    };
  });
}

interface Result {
  readonly model: string;
  readonly threads: number;
  readonly sides: readonly Side[];
}

async function compare(
  model: string,
  threads: number,
  theirs: readonly [PeerProcess, string][],
): Promise<Result> {
  const size = modelSizes[model]!;
  const runners: Runner[] = [];
  for (const dtype of dtypes) {
    const name = `trainformer, ${dtype}`;
    const peer = await Peer.start({ ...ourProcess("trainformer_train"), name }, threads, {
      model: size,
      dtype,
      device,
      graphs,
    });
    if (peer !== undefined) runners.push({ isOurs: true, name, mode: "", peer });
  }
  for (const [what, mode] of theirs) {
    const peer = await Peer.start(what, threads, { model: size, device });
    if (peer !== undefined) runners.push({ isOurs: false, name: what.name, mode, peer });
  }
  configure("threads", threads);
  const sides = await takeTurns(runners, Number(values.seconds), flopsOf(size));
  for (const { peer } of runners) peer.stop();
  return { model, threads, sides };
}

for (const model of values.model) {
  if (modelSizes[model] !== undefined) continue;
  console.error(`--model must be one of ${Object.keys(modelSizes).join(", ")}; got ${model}`);
  process.exit(1);
}

const results: Result[] = [];
for (const model of values.model) {
  for (const threads of new Set(values.threads.map(Number))) {
    const modes = await fastestModes(threads, { model: modelSizes[model]!, device });
    results.push(
      await compare(
        model,
        threads,
        modes.map((mode) => [torch, mode]),
      ),
    );
    if (model === "char" && device === "cpu")
      results.push(
        await compare(
          model,
          threads,
          scriptLibraries.map((library) => [library, "f32"]),
        ),
      );
  }
}

const rows = results.flatMap(({ model, threads, sides }) => {
  const ours = sides.filter(({ isOurs }) => isOurs);
  const f32 = ours[0]!;
  const best = ours.reduce((a, b) => (b.wallMs < a.wallMs ? b : a));
  return sides.map((side) => [
    model,
    String(threads),
    side.name,
    side.wallMs,
    side.ofCeiling === undefined ? undefined : percent(side.ofCeiling),
    side.isOurs ? undefined : times(side.wallMs / f32.wallMs),
    side.isOurs ? undefined : times(side.wallMs / best.wallMs),
    show(side.peakMB),
    side.isOurs ? undefined : times(f32.peakMB / side.peakMB),
    side.loss,
    String(side.steps),
  ]);
});
const head = [
  "model",
  "threads",
  "",
  "ms",
  "of ceiling",
  "ours f32",
  "ours best",
  "peak MB",
  "ours f32 peak",
  "loss",
  "steps",
];
const versions = new Map(
  results.flatMap(({ sides }) =>
    sides.filter(({ isOurs }) => !isOurs).map(({ name, version }) => [name.split(",")[0]!, version] as const),
  ),
);
const notes = [
  [...versions].map(([name, version]) => `${name} ${version}`).join("; "),
  facts.name ?? "",
  ...missing,
];
publish({ program: "train", notes, head, rows, left: 3 }, discards);
if (values.json) console.log(JSON.stringify({ isa: info().isa, results }));
