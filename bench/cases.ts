/** The cases of test/cases as work to time. */
import { readdirSync } from "node:fs";
import path from "node:path";
import { backward, noGrad, record } from "../src/autograd.ts";
import { type Device, defaultDevice, setDefaultDevice } from "../src/device.ts";
import { scope } from "../src/memory.ts";
import { rand } from "../src/ops/creation.ts";
import { sizeOf } from "../src/shape.ts";
import { Tensor, tensor } from "../src/tensor.ts";
import { type Input, isIds, normals, type OpCase, shapeOf } from "../test/case.ts";
import type { Amount } from "./ceilings.ts";
import type { Enqueued } from "./measure.ts";

export type Pass = "forward" | "backward";

/** All cases that have a size to time and say how much work that is. */
export async function loadCases(): Promise<OpCase[]> {
  const sources = readdirSync(path.resolve("test/cases")).filter((file) => file.endsWith(".ts"));
  const modules = await Promise.all(
    sources.map((file) => import(new URL(`../test/cases/${path.parse(file).name}.js`, import.meta.url).href)),
  );
  const all = modules.flatMap((module) => module.default as OpCase[]);
  return all.filter(({ sizes, work }) => sizes.model !== undefined && work !== undefined);
}

/** Sizes that keep a large device busy. */
const larger: Readonly<Record<string, Readonly<Record<string, Input>>>> = {
  matmul: { a: [4096, 4096], b: [4096, 4096] },
  linear: { x: [8192, 768], weight: [3072, 768] },
  "causal attention": { q: [4, 2048, 16, 64], k: [4, 2048, 16, 64], v: [4, 2048, 16, 64] },
  layerNorm: { x: [16384, 1024], weight: [1024], bias: [1024] },
};
const largerSuffix = ", larger";

/** The name of the case that a larger one comes from. */
export const baseName = (name: string): string => name.replace(largerSuffix, "");

/** All of them, and for a CUDA device some again at a larger "model" size. */
export const withLarger = (cases: readonly OpCase[]): OpCase[] =>
  cases.flatMap((one) => {
    const model = larger[one.name];
    if (model === undefined) return [one];
    return [one, { ...one, name: one.name + largerSuffix, sizes: { ...one.sizes, model } }];
  });

export interface JobOptions {
  /** Default "model". */
  readonly size?: string;
  /** Default `defaultDevice()`. */
  readonly device?: Device;
  /** Of activations; parameters are f32. Default f32. */
  readonly dtype?: "f32" | "bf16";
  /** Whether parameters are to be trained in the forward pass too: then products keep packed copies of them. */
  readonly trainable?: boolean;
}

export interface Job extends Enqueued {
  readonly amount: Amount;
  dispose(): void;
}

/** Parameters of a layer; the other inputs come from other ops, and so do their gradients go on to others. */
const parameterNames = new Set(["weight", "bias"]);

/** Traffic of embedding is that of its weight and of the weight's gradient, which are f32. */
const inF32: Readonly<Record<string, Partial<Record<Pass, keyof Amount>>>> = {
  embedding: { forward: "read", backward: "written" },
};

/** What a case must do at least, in a dtype. */
export function amountOf(opCase: OpCase, pass: Pass, { size = "model", dtype = "f32" }: JobOptions = {}) {
  const amount: Amount | undefined = opCase.work!(opCase.sizes[size]!)[pass];
  if (amount === undefined || dtype === "f32") return amount;
  const halved = (of: "read" | "written") =>
    amount[of] === undefined ? undefined : amount[of] / (inF32[opCase.name]?.[pass] === of ? 1 : 2);
  return { flops: amount.flops, read: halved("read"), written: halved("written") };
}

function makeTensor(input: Input, dtype: "f32" | "bf16"): Tensor {
  const shape = shapeOf(input);
  if (!isIds(input)) return rand(shape, { low: -1, high: 1, dtype });
  const values = normals(sizeOf(shape), 1);
  const ids =
    "values" in input ? input.values : values.map((x) => Math.floor(Math.abs(x * 1e6)) % input.below);
  return tensor(Int32Array.from(ids), shape);
}

/** `t` as if an op had made it, whose own backward pass costs nothing. */
function asResult(t: Tensor): Tensor {
  const result = t.detach();
  record("benchmark", [t], [result], { backward() {} });
  return result;
}

/** Work on the default device. */
function makeHere(opCase: OpCase, pass: Pass, options: JobOptions, amount: Amount): Job {
  const { size = "model", dtype = "f32", trainable = false } = options;
  const device = defaultDevice();
  const leaves = Object.entries(opCase.sizes[size]!).map(
    ([name, input]) => [name, makeTensor(input, parameterNames.has(name) ? "f32" : dtype)] as const,
  );
  const dispose = (more: Tensor[]) => () => {
    for (const t of [...leaves.map(([, leaf]) => leaf), ...more]) t.dispose();
  };
  const begin = () => setDefaultDevice(device); // some cases make tensors as they run
  const parameters = leaves.filter(([name]) => parameterNames.has(name)).map(([, leaf]) => leaf);
  if (pass === "forward") {
    if (trainable) for (const p of parameters) p.requiresGrad = true;
    const inputs = Object.fromEntries(leaves);
    const run = () => noGrad(() => scope(() => void opCase.run(inputs)));
    return { device, amount, begin, run, dispose: dispose([]) };
  }

  for (const [, leaf] of leaves) leaf.requiresGrad = leaf.dtype !== "i32";
  for (const p of parameters) p.gradientBuffer = Tensor.empty(p.shape, "f32", p.device);
  const inputs = Object.fromEntries(
    leaves.map(([name, leaf]) => [name, parameterNames.has(name) ? leaf : asResult(leaf)]),
  );
  const y = opCase.run(inputs);
  const dy = rand(y.shape, { low: -1, high: 1, dtype: y.dtype });
  const run = () => {
    scope(() => backward(y, dy, { retainGraph: true }));
    for (const p of parameters) p.gradient = undefined;
  };
  return {
    device,
    amount,
    begin,
    run,
    dispose: dispose([y, dy, ...parameters.map((p) => p.gradientBuffer!)]),
  };
}

/** One pass of a case; undefined if that pass has nothing to do. */
export function makeJob(opCase: OpCase, pass: Pass, options: JobOptions = {}): Job | undefined {
  const amount = amountOf(opCase, pass, options);
  if (amount === undefined) return undefined;
  const standard = defaultDevice();
  setDefaultDevice(options.device ?? standard);
  try {
    return makeHere(opCase, pass, options, amount);
  } finally {
    setDefaultDevice(standard);
  }
}
