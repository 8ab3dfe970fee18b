/** What the CUDA kernels should take, computed from what cuda-model.md says is assumed. No kernel is run. */
import { sizeOf } from "../src/shape.ts";
import { isIds, type OpCase, shapeOf } from "../test/case.ts";
import { shareShown } from "../test/cases/attention.ts";
import { amountOf, type Pass } from "./cases.ts";
import { type Datasheet, datasheetOf } from "./datasheet.ts";

export interface Device extends Datasheet {
  readonly capability: number;
  readonly multiprocessors: number;
  /** Multiplications of bf16 in a cycle of a multiprocessor, as mma.sync makes them. */
  readonly perCycle: number;
  readonly hertz: number;
}

/** H100's mma.sync reaches 62 % of its wgmma. */
export const mmaSync = (capability: number): number => (capability === 90 ? 0.62 : 1);

function model(name: string, capability: number, multiprocessors: number, gigahertz: number): Device {
  const sheet = datasheetOf(name)!;
  const perCycle = (sheet.bf16 * 1e3 * mmaSync(capability)) / (2 * multiprocessors * gigahertz);
  return { ...sheet, capability, multiprocessors, perCycle, hertz: gigahertz * 1e9 };
}
export const devices = [
  model("A100-SXM4-80GB", 80, 108, 1.41),
  model("H100 80GB HBM3", 90, 132, 1.83),
  model("RTX 4090", 89, 128, 2.52),
];

const launchSeconds = 2.5e-6;
const ofMemory = 0.88;
const ceilDiv = (a: number, b: number): number => Math.ceil(a / b);

// ---- products: the choice of cuda/gemm/plan.cu, and the cycles that it expects

/** Tile, step, blocks on a multiprocessor, and the share of the tensor cores' time that is to be used. */
type Tile = readonly [kernel: string, m: number, n: number, k: number, blocks: number, busy: number];
function tilesOf({ capability }: Device): Tile[] {
  if (capability === 89) {
    return [
      ["middle_short", 128, 128, 32, 2, 0.8],
      ["small", 64, 64, 32, 3, 0.5],
    ];
  }
  return [
    ["large", 128, 256, 64, 1, 0.9],
    capability === 80 ? ["middle", 128, 128, 32, 2, 0.75] : ["wide", 128, 128, 64, 2, 0.85],
    ["small", 64, 64, 32, 4, 0.5],
  ];
}

/** Turns that a block takes which is alone where several fit; where each of them is there, it takes one a block. */
const aloneTurns = [0, 1, 1.35, 1.6, 1.7];

interface Plan {
  readonly name: string;
  readonly seconds: number;
}

/** y [M, N] over K; `terms` is 3 for f32. */
export function plan(device: Device, [M, N, K]: readonly number[], terms: number): Plan {
  const { multiprocessors } = device;
  const options = tilesOf(device).flatMap(([kernel, m, n, k, resident, busy]) =>
    [1, 2, 3, 4, 6, 8, 12, 16, 24, 32]
      .filter(
        (parts) => parts === 1 || (ceilDiv(terms * K!, k) >= 4 * parts && M! * N! * parts * 4 <= 2 ** 28),
      )
      .map((parts) => {
        const blocks = ceilDiv(M!, m) * ceilDiv(N!, n) * parts;
        const steps = ceilDiv(ceilDiv(terms * K!, k), parts);
        const slots = multiprocessors * resident;
        const rest = blocks % slots;
        const last = rest > multiprocessors ? ceilDiv(rest, multiprocessors) : aloneTurns[resident]!;
        const turns = Math.floor(blocks / slots) * resident + (rest === 0 ? 0 : last);
        const adding = parts === 1 ? 0 : 4000 + (8 * parts * M! * N!) / (20 * multiprocessors);
        const cycles = (perCycle: number) =>
          turns * ((m * n * k * steps) / (perCycle * busy) + 1500) + adding;
        const name = `${kernel}${parts === 1 ? "" : ` in ${parts} parts`}`;
        const seconds = cycles(device.perCycle) / device.hertz;
        return { name, chosenBy: cycles(1024), seconds };
      }),
  );
  return options.reduce((a, b) => (b.chosenBy < a.chosenBy ? b : a));
}

/** With the splitting of f32 operands into two of bf16. */
function productSeconds(device: Device, sizes: readonly number[], dtype: string): number {
  const [M, N, K] = sizes as [number, number, number];
  const split = dtype === "f32" ? memorySeconds(device, 8 * K * (M + N), 2) : 0;
  const traffic = memorySeconds(device, (dtype === "f32" ? 4 : 2) * (M * K + N * K + M * N), 0);
  return Math.max(plan(device, sizes, dtype === "f32" ? 3 : 1).seconds, traffic) + launchSeconds + split;
}

/** The products of a pass. */
function productsOf(sizes: Readonly<Record<string, readonly number[]>>, pass: Pass): number[][] {
  const [a, b] = Object.values(sizes) as [number[], number[]];
  const [M, K] = [sizeOf(a) / a.at(-1)!, a.at(-1)!];
  const N = sizeOf(b) / K;
  return pass === "forward"
    ? [[M, N, K]]
    : [
        [M, K, N],
        [N, K, M],
      ]; // prettier-ignore
}

// ---- attention: blocks of queries (or keys) that are walked in tiles, dealt to multiprocessors

function attentionSeconds(device: Device, { name, sizes }: OpCase, pass: Pass, dtype: string): number {
  const [B, T, H, D] = shapeOf(sizes.model!.q!) as [number, number, number, number];
  const causal = name.includes("causal");
  const window = name.includes("window") ? 50 : T;
  const shown = shareShown(sizes.model!.blocks);
  const isBf16 = dtype === "bf16";
  const share = device.perCycle < 512 ? 0.8 : 0.55; // where a product takes long, softmax is done meanwhile
  // Rows that a block owns, the other side's in a tile, products, and the share of the peak that two blocks reach.
  const own = isBf16 ? 128 : 64;
  const kernels: [tile: number, products: number, busy: number][] = isBf16
    ? pass === "forward"
      ? [[64, 2, share]]
      : [
          [32, 4, share],
          [32, 3, share],
        ]
    : pass === "forward"
      ? [[32, 2, 0.6]]
      : [
          [32, 4, 0.55],
          [32, 3, 0.55],
        ]; // prettier-ignore
  const rate = isBf16 ? device.perCycle * device.hertz : (device.f32 * 1e12) / 2 / device.multiprocessors;
  const blocks = B * H * ceilDiv(T, own);
  const seconds = kernels.map(([tile, products, busy]) => {
    const alone = blocks <= device.multiprocessors; // one block hides less of its latency
    const slots = Array.from({ length: device.multiprocessors * (alone ? 1 : 2) }, () => 0);
    for (let block = blocks - 1; block >= 0; block--) {
      const first = (block % ceilDiv(T, own)) * own;
      const from = Math.max(0, first - window + 1);
      const until = causal ? Math.min(T, first + own) : Math.min(T, first + own + window - 1);
      const work = own * (ceilDiv(until, tile) - Math.floor(from / tile)) * tile * D * products * shown;
      const at = slots.indexOf(Math.min(...slots));
      slots[at]! += work / (rate * busy * (alone ? 0.6 : 0.5)) + 1e-6;
    }
    return Math.max(...slots) + launchSeconds;
  });
  const statistics = pass === "backward" ? memorySeconds(device, 2 * B * T * H * D * (isBf16 ? 2 : 4), 1) : 0;
  return seconds.reduce((sum, s) => sum + s, statistics);
}

// ---- the rest: traffic, or issuing instructions

const memorySeconds = ({ memory }: Device, bytes: number, launches: number): number =>
  bytes / (ofMemory * memory * 1e9) + launches * launchSeconds;

/** Instructions of PTX for 16 bytes of the result, forward and backward in f32, then in bf16. */
const instructions: readonly [name: RegExp, counts: readonly number[]][] = [
  [/^geluTanh/, [105, 146, 200, 295]],
  [/^gelu/, [180, 190, 345, 373]],
  [/^silu/, [91, 128, 175, 260]],
  [/^dropout/, [190, 190, 310, 310]],
];
/** Launches, forward and backward. */
const launches: readonly [name: RegExp, counts: readonly number[]][] = [
  [/^mul$/, [1, 2]],
  [/Norm/, [1, 2]],
  [/^crossEntropy/, [2, 1]],
  [/^embedding/, [1, 7]],
  [/^(sum|mean|max) over/, [2, 1]],
];
const countFor = (table: typeof launches, { name }: OpCase, at: number): number | undefined =>
  table.find(([pattern]) => pattern.test(name))?.[1][at];

function streamSeconds(device: Device, opCase: OpCase, pass: Pass, dtype: "f32" | "bf16"): number {
  const { read = 0, written = 0 } = amountOf(opCase, pass, { dtype })!;
  const at = pass === "forward" ? 0 : 1;
  const count = countFor(launches, opCase, at) ?? 1;
  const perChunk = countFor(instructions, opCase, at + (dtype === "bf16" ? 2 : 0)) ?? 0;
  // Four warps issue in a cycle, 60 % of the time.
  const issued = (perChunk * written) / 16 / 32 / (4 * 0.6 * device.multiprocessors * device.hertz);
  return Math.max(memorySeconds(device, read + written, 0), issued) + count * launchSeconds;
}

/** The least that the datasheet allows, and what is expected: seconds of a pass of a case. */
export function estimate(
  device: Device,
  opCase: OpCase,
  pass: Pass,
  dtype: "f32" | "bf16",
): [least: number, expected: number] {
  const amount = amountOf(opCase, pass, { dtype })!;
  const { flops, read = 0, written = 0 } = amount;
  if (flops === undefined) {
    return [(read + written) / (device.memory * 1e9), streamSeconds(device, opCase, pass, dtype)];
  }
  if (!opCase.multiplies) {
    const peak = (dtype === "f32" ? device.f32 : device.bf16) * 1e12;
    return [flops / peak, attentionSeconds(device, opCase, pass, dtype)];
  }
  const least = (flops * (dtype === "f32" ? 3 : 1)) / (device.bf16 * 1e12);
  const sizes = Object.fromEntries(
    Object.entries(opCase.sizes.model!).flatMap(([name, x]) => (isIds(x) ? [] : [[name, shapeOf(x)]])),
  );
  const products = productsOf(sizes, pass);
  const isHead = opCase.name.startsWith("linearCrossEntropy");
  if (isHead && opCase.name.includes("chunks") && pass === "backward")
    products.push(productsOf(sizes, "forward")[0]!);
  const [M, N] = productsOf(sizes, "forward")[0]!;
  const logits = (dtype === "f32" || opCase.name.includes("chunks") ? 4 : 2) * M! * N!;
  const others = isHead ? memorySeconds(device, (pass === "forward" ? 1 : 2) * logits, 2) : 0;
  const after =
    /gelu|relu|silu/.test(opCase.name) && pass === "backward" ? 3 * M! * N! * (dtype === "f32" ? 4 : 2) : 0;
  const seconds = products.reduce((sum, p) => sum + productSeconds(device, p, dtype), others);
  return [least, seconds + (after ? memorySeconds(device, after, 1) : 0)];
}
