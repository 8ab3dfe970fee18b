/** The cases of test/cases as work to time. */
import { readdirSync } from "node:fs";
import path from "node:path";
import { backward, noGrad, record } from "../src/autograd.ts";
import { scope } from "../src/memory.ts";
import { rand } from "../src/ops/creation.ts";
import { sizeOf } from "../src/shape.ts";
import { Tensor, tensor } from "../src/tensor.ts";
import { type Input, isIds, normals, type OpCase, shapeOf } from "../test/case.ts";
import type { Amount } from "./ceilings.ts";

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

export interface Job {
  readonly amount: Amount;
  run(): void;
  dispose(): void;
}

/** Parameters of a layer; the other inputs come from other ops, and so do their gradients go on to others. */
const parameterNames = new Set(["weight", "bias"]);

function makeTensor(input: Input): Tensor {
  const shape = shapeOf(input);
  if (!isIds(input)) return rand(shape, { low: -1, high: 1 });
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

/** One pass of a case at its model size; undefined if that pass has nothing to do. */
export function makeJob(opCase: OpCase, pass: Pass): Job | undefined {
  const sizes = opCase.sizes.model!;
  const amount = opCase.work!(sizes)[pass];
  if (amount === undefined) return undefined;

  const leaves = Object.entries(sizes).map(([name, input]) => [name, makeTensor(input)] as const);
  const dispose = (more: Tensor[]) => () => {
    for (const t of [...leaves.map(([, leaf]) => leaf), ...more]) t.dispose();
  };
  if (pass === "forward") {
    const inputs = Object.fromEntries(leaves);
    const run = () => noGrad(() => scope(() => void opCase.run(inputs)));
    return { amount, run, dispose: dispose([]) };
  }

  const parameters = leaves.filter(([name]) => parameterNames.has(name)).map(([, leaf]) => leaf);
  for (const [, leaf] of leaves) leaf.requiresGrad = leaf.dtype !== "i32";
  for (const p of parameters) p.gradientBuffer = Tensor.empty(p.shape, "f32");
  const inputs = Object.fromEntries(
    leaves.map(([name, leaf]) => [name, parameterNames.has(name) ? leaf : asResult(leaf)]),
  );
  const y = opCase.run(inputs);
  const dy = rand(y.shape, { low: -1, high: 1 });
  const run = () => {
    scope(() => backward(y, dy, { retainGraph: true }));
    for (const p of parameters) p.gradient = undefined;
  };
  return { amount, run, dispose: dispose([y, dy, ...parameters.map((p) => p.gradientBuffer!)]) };
}
