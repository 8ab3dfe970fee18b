/** What a call of a kernel is, and how kernel-calls.ts and tile-calls.ts add to the list of them. */
import { multipliesBf16 } from "../../src/native.ts";

export type Precision = "f32" | "bf16";

/** A number in the place of a normal one, which is the i-th of its tensor. */
export type Draw = (normal: number, i: number) => number;

/** How a tensor lies, and what it holds: by default without gaps from the beginning, normal numbers. */
export interface Layout {
  readonly strides?: readonly number[];
  readonly offset?: number;
  readonly draw?: Draw;
  /** It is a packed weight, of b [K, N] with these strides: the memory of another argument, or random numbers. */
  readonly packs?: {
    readonly shape: readonly [number, number];
    readonly strides?: readonly number[];
    readonly of?: string;
  };
}

export interface KernelCall {
  readonly kernel: string;
  readonly sizes: Readonly<Record<string, number>>;
  readonly numbers?: Readonly<Record<string, number>>;
  readonly layouts?: Readonly<Record<string, Layout>>;
  /** Optional tensors that are given although no layout says how. */
  readonly present?: readonly string[];
  /** Relative to the largest expected number: of f32; 0 is exact. */
  readonly tolerance: number;
  /** The same for products in precision "highest". */
  readonly strictTolerance?: number;
  /** What is added for bf16, in which a number may also be the neighbour of the expected one. */
  readonly bf16Tolerance?: number;
  readonly variants?: readonly (Precision | "strict")[];
  /** Whole tiles of products and of attention on tensor cores: their memory accesses are counted. */
  readonly isWhole?: boolean;
  readonly description: string;
}

/** Of parameters that are numbers, where a call says nothing else. */
export const numbers: Readonly<Record<string, number>> = {
  value: 1.5,
  low: -0.3,
  high: 0.7,
  seed: 2 ** 40 + 5,
  position: 2 ** 33 - 3,
  mean: 1,
  std: 0.02,
  p: 0.3,
  factor: 0.3,
  eps: 1e-5,
  start: 3,
  direction: 1,
  ignoreIndex: 1,
  labelSmoothing: 0.1,
  activation: 0,
  add: 1,
  scale: 0.3,
  causal: 0,
  window: 0,
  blockSize: 3,
  dropout: 0,
  maxNorm: 1,
  learningRate: 1e-3,
  beta1: 0.9,
  beta2: 0.999,
  weightDecay: 0.1,
  coupledDecay: 0.05,
  momentum: 0.9,
  dampening: 0,
  nesterov: 0,
  maxValue: 0.5,
  weight: 0.3,
  floor: 0.01,
  inverse: 0,
  correction1: 0.1,
  correction2: 0.001,
  count: 8 * 256 * 5,
};

const isExact =
  /^(fill|copy|to_f32|from_f32|uniform|dropout|max_|embedding_forward|relu|add_forward|sub_forward|mul_forward|cache_write|gather_rows)/;
const multiplies = /^(matmul|linearcrossentropy)/;

function tolerancesOf(kernel: string): Pick<KernelCall, "tolerance" | "strictTolerance" | "bf16Tolerance"> {
  if (isExact.test(kernel)) return { tolerance: 0 };
  if (multiplies.test(kernel)) {
    // A processor that does not multiply bf16 does not round the gradient of logits either.
    const bf16Tolerance = kernel.startsWith("linear") && !multipliesBf16() ? 2 ** -8 : 0;
    return { tolerance: 2e-5, strictTolerance: 3e-6, bf16Tolerance };
  }
  if (kernel.startsWith("attention")) return { tolerance: 4e-6, bf16Tolerance: 2 ** -7 };
  return { tolerance: 2e-6 };
}

export type Options = Partial<Omit<KernelCall, "kernel" | "sizes" | "description">>;

const list: KernelCall[] = [];
export const calls: readonly KernelCall[] = list;

function described(
  sizes: KernelCall["sizes"],
  { numbers, layouts = {}, present = [], isWhole }: Options,
): string {
  const shown = Object.entries({ ...sizes, ...numbers }).map(([name, n]) => `${name}=${n}`);
  const lying = Object.entries(layouts).map(([name, { strides, offset }]) => {
    return `${offset || strides ? name : ""}${offset ? `+${offset}` : ""}${strides ? `:${strides.join(",")}` : ""}`;
  });
  const words = [...shown, ...lying, ...present.map((name) => `with ${name}`), isWhole ? "whole" : ""];
  return words.filter((word) => word !== "").join(" ");
}

export function add(kernel: string, sizes: KernelCall["sizes"], options: Options = {}): void {
  const variants = multiplies.test(kernel) ? ({ variants: ["f32", "bf16", "strict"] } as const) : {};
  const description = described(sizes, options);
  list.push({ kernel, sizes, ...tolerancesOf(kernel), ...variants, ...options, description });
}

/** A call as it is, and then with each of these tensors not on 16 bytes. */
export function addMisaligned(
  kernel: string,
  sizes: KernelCall["sizes"],
  tensors: string,
  options: Options = {},
): void {
  add(kernel, sizes, options);
  for (const name of tensors.split(" ")) {
    const moved = { ...options.layouts?.[name], offset: 1 };
    add(kernel, sizes, { ...options, layouts: { ...options.layouts, [name]: moved } });
  }
}

/** Forward and backward; the latter gets what the former saves. */
export function addBoth(
  op: string,
  sizes: KernelCall["sizes"],
  forward: string,
  backward: string,
  options: Options = {},
) {
  addMisaligned(`${op}_forward`, sizes, forward, options);
  addMisaligned(`${op}_backward`, sizes, backward, options);
}

type Names<S extends string> = S extends `${infer First} ${infer Rest}` ? First | Names<Rest> : S;
/** Sizes by symbol, those of a call in each of the rows. */
export function table<S extends string>(symbols: S, ...rows: string[]): Record<Names<S>, number>[] {
  const names = symbols.split(" ");
  const named = (row: string) => Object.fromEntries(row.split(" ").map((n, i) => [names[i]!, Number(n)]));
  return rows.map(named) as Record<Names<S>, number>[];
}

export const below =
  (limit: number): Draw =>
  (x) =>
    Math.floor(Math.abs(x) * 1e6) % limit;
