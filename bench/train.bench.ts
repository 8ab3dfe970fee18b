/**
 * Times a training step (forward, backward, AdamW, the loss read) against PyTorch's, in turns.
 *
 *   npm run bench -- train [--python FILE] [--model NAME ...] [--threads N ...] [--seconds S] [--json]
 *
 *   --python    a Python that has torch; default: the environment variable PYTHON, else the peer is left out
 *   --model     char (4 layers, 128 wide, 12 sequences of 64), small (6 layers, 384 wide) or gpt2 (124M parameters,
 *               4 sequences of 64); default: char and small
 *   --threads   default: 1, and one a core
 *   --seconds   for each model and number of threads, half of it for the peer; default 20
 *   --json      one line of JSON at the end of the output
 *
 * The library trains in f32. PyTorch runs eagerly in each of its modes, f32 or bf16 autocast with fused or plain attention;
 * the fastest of f32 and the fastest of all then take turns with the library, a process each. Ratios are of medians:
 * above 1 the library is faster. CPU time is that of all threads; on a busy machine it is the better clock for one thread.
 */
import { spawnSync } from "node:child_process";
import path from "node:path";
import { parseArgs } from "node:util";
import { info } from "../src/native.ts";
import { median } from "./measure.ts";
import { type ModelSize, modelSizes } from "./models.ts";
import { Peer, type Steps } from "./peer.ts";
import { formatTable, show, times } from "./table.ts";

const { values } = parseArgs({
  options: {
    python: { type: "string", default: process.env.PYTHON },
    model: { type: "string", multiple: true, default: ["char", "small"] },
    threads: { type: "string", multiple: true, default: ["1", String(info().cores)] },
    seconds: { type: "string", default: "20" },
    json: { type: "boolean", default: false },
  },
});

const modes = ["f32 sdpa", "f32 plain", "bf16 sdpa", "bf16 plain"];
const ourMode = "f32";
const warmUps = 2;
const pilotSteps = 3;
const fewestTurns = 3;
const turnMs = 200;

/** The Python to compare with, if it has torch. */
function findTorch(): string | undefined {
  const { python } = values;
  if (!python) {
    console.log("PyTorch is missing: give a Python that has it with --python\n");
    return undefined;
  }
  if (spawnSync(python, ["-c", "import torch"]).status === 0) return python;
  console.log(`PyTorch is missing: ${python} cannot import torch\n`);
  return undefined;
}

const startOurs = (model: ModelSize, threads: number): Promise<Peer> =>
  Peer.start(process.execPath, [path.join(import.meta.dirname, "peers", "trainformer.js")], model, threads);
const startTorch = (python: string, model: ModelSize, threads: number): Promise<Peer> =>
  Peer.start(python, [path.resolve("bench/peers/train_gpt.py")], model, threads);

/** PyTorch's modes from the fastest to the slowest, by the fewest milliseconds of a few steps. */
async function modesBySpeed(python: string, model: ModelSize, threads: number): Promise<string[]> {
  const peer = await startTorch(python, model, threads);
  const clock = threads === 1 ? "cpu" : "wall";
  const best: [string, number][] = [];
  for (const mode of modes) {
    await peer.train(warmUps, mode);
    best.push([mode, Math.min(...(await peer.train(pilotSteps, mode))[clock])]);
  }
  peer.stop();
  return best.sort((a, b) => a[1] - b[1]).map(([mode]) => mode);
}

interface Side {
  name: string;
  version: string;
  wallMs: number;
  cpuMs: number;
  steps: number;
  loss: number;
  peakMB: number;
}

interface Runner {
  name: string;
  mode: string;
  peer: Peer;
}

/** Lets all take turns until `seconds` have passed. */
async function takeTurns(runners: readonly Runner[], seconds: number): Promise<Side[]> {
  const states = [];
  for (const { name, mode, peer } of runners) {
    const { wall } = await peer.train(warmUps, mode);
    const steps = Math.max(1, Math.round(turnMs / wall.at(-1)!));
    states.push({ name, mode, peer, steps, turns: [] as Steps[] });
  }
  const end = performance.now() + 1000 * seconds;
  for (let turn = 0; turn < fewestTurns || performance.now() < end; turn++) {
    for (const { peer, mode, steps, turns } of states) turns.push(await peer.train(steps, mode));
  }
  return states.map(({ name, peer, turns }) => {
    const wall = turns.flatMap((turn) => turn.wall);
    return {
      name,
      version: peer.version,
      wallMs: median(wall),
      cpuMs: median(turns.flatMap((turn) => turn.cpu)),
      steps: wall.length,
      loss: turns.at(-1)!.loss,
      peakMB: turns.at(-1)!.peakBytes / 1e6,
    };
  });
}

interface Result {
  model: string;
  threads: number;
  sides: Side[];
}

async function compare(name: string, threads: number): Promise<Result> {
  const model = modelSizes[name]!;
  const chosen: string[] = [];
  if (python) {
    const ranked = await modesBySpeed(python, model, threads);
    chosen.push(ranked.find((mode) => mode.startsWith("f32"))!);
    if (ranked[0] !== chosen[0]) chosen.push(ranked[0]!);
  }
  const runners: Runner[] = [
    { name: "trainformer, f32", mode: ourMode, peer: await startOurs(model, threads) },
  ];
  for (const mode of chosen) {
    const peer = await startTorch(python!, model, threads);
    runners.push({ name: `PyTorch, ${mode}`, mode, peer });
  }
  const sides = await takeTurns(runners, Number(values.seconds));
  for (const { peer } of runners) peer.stop();
  return { model: name, threads, sides };
}

for (const model of values.model) {
  if (modelSizes[model] !== undefined) continue;
  console.error(`--model must be one of ${Object.keys(modelSizes).join(", ")}; got ${model}`);
  process.exit(1);
}
const python = findTorch();

const results: Result[] = [];
for (const model of values.model) {
  for (const threads of new Set(values.threads.map(Number))) results.push(await compare(model, threads));
}
const rows = results.flatMap(({ model, threads, sides: [ours, ...theirs] }) =>
  [ours!, ...theirs].map((side) => [
    model,
    String(threads),
    side.name,
    side.wallMs,
    side === ours ? undefined : times(side.wallMs / ours!.wallMs),
    side.cpuMs,
    side === ours ? undefined : times(side.cpuMs / ours!.cpuMs),
    show(side.peakMB),
    side.loss,
    String(side.steps),
  ]),
);
const head = ["model", "threads", "", "ms", "ratio", "CPU ms", "ratio", "peak MB", "loss", "steps"];
const version = results[0]?.sides[1]?.version;
console.log(`${version ? `PyTorch ${version}\n\n` : ""}${formatTable(head, rows, 3)}`);
if (values.json) console.log(JSON.stringify({ isa: info().isa, results }));
