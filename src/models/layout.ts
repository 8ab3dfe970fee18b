import { CheckpointError } from "../errors.ts";
import type { Checkpoint } from "../io/checkpoint.ts";
import type { StoredTensor } from "../io/safetensors.ts";
import { scope } from "../memory.ts";
import type { AnyModule } from "../nn/module.ts";
import { initialize } from "../nn/module.ts";
import { contiguous, slice } from "../ops/views.ts";
import { showShape } from "../shape.ts";
import { type Tensor, tensor } from "../tensor.ts";

/**
 * Where the parameters of a module lie in a checkpoint: the path of the module here and there, N for a number. What
 * follows the path (`.weight`) is the same on both sides.
 *
 * `sizes`: here one matrix holds several of theirs, of so many rows each. `transposed`: theirs are [inputs, outputs].
 */
export type NameRule =
  | readonly [ours: string, theirs: string, options?: { transposed?: boolean }]
  | readonly [ours: string, theirs: readonly string[], options: { sizes: readonly number[] }];

/** How a model is written in checkpoints. */
export interface Layout {
  names: readonly NameRule[];
  /** What the names of the trunk begin with, left out in files that hold nothing else: `bert.`, `transformer.`. */
  prefix?: string;
  /** Our paths of what a checkpoint may lack, and then is new: the head of a task. */
  fresh?: readonly string[];
  /** Names in a checkpoint that need no place here: buffers, another name of a tied weight. */
  ignored?: RegExp;
}

/** A part of one of our parameters as a checkpoint has it. */
export interface Part {
  name: string;
  /** Rows of the parameter. */
  start: number;
  end: number;
  transposed: boolean;
}

/** A path with something else in place of its segment N. */
const withNumber = (path: string, number: string): string =>
  path
    .split(".")
    .map((segment) => (segment === "N" ? number : segment))
    .join(".");

const pattern = (ours: string): RegExp =>
  new RegExp(`^${withNumber(ours, "(\\d+)").replaceAll(".", "\\.")}(?=\\.)`);

/** The tensors of a checkpoint that make up the parameter `name`. */
export function partsOf(name: string, parameter: Tensor, rules: readonly NameRule[]): Part[] {
  for (const [ours, theirs, options = {}] of rules) {
    const match = pattern(ours).exec(name);
    if (match === null) continue;
    const rest = name.slice(match[0].length);
    const full = (path: string) => withNumber(path, match[1] ?? "N") + rest;
    if (typeof theirs === "string") {
      const transposed = "transposed" in options && options.transposed === true && parameter.rank === 2;
      return [{ name: full(theirs), start: 0, end: parameter.shape[0]!, transposed }];
    }
    const { sizes } = options as { sizes: readonly number[] };
    return theirs.map((path, i) => {
      const start = sizes.slice(0, i).reduce((a, b) => a + b, 0);
      return { name: full(path), start, end: start + sizes[i]!, transposed: false };
    });
  }
  throw new Error(`${name} has no name in checkpoints`);
}

/** Names under which a tensor may be found: without the prefix of the trunk, and as TensorFlow called norms. */
function aliases(name: string, prefix: string | undefined): string[] {
  const names = [name];
  if (prefix) names.push(name.startsWith(prefix) ? name.slice(prefix.length) : prefix + name);
  const old = (n: string) =>
    n.replace(/LayerNorm\.weight$/, "LayerNorm.gamma").replace(/LayerNorm\.bias$/, "LayerNorm.beta");
  return [...new Set([...names, ...names.map(old)])];
}

function fill(parameter: Tensor, part: Part, stored: StoredTensor, source: string): void {
  const { start, end, transposed } = part;
  const target = slice(parameter.detach(), 0, start, end);
  const expected = transposed ? [...target.shape].reverse() : target.shape;
  if (showShape(stored.shape) !== showShape(expected)) {
    throw new CheckpointError(
      `${source}: ${part.name} must be ${showShape(expected)}; got ${showShape(stored.shape)}`,
    );
  }
  if (stored.dtype === "i32")
    throw new CheckpointError(`${source}: ${part.name} must be floating; got integers`);
  const value = tensor(stored.data, stored.shape, { device: "cpu" });
  const oriented = transposed ? value.T : value;
  target.assign(stored.dtype === "f32" ? oriented : contiguous(oriented));
}

/**
 * Copies a tensor of a checkpoint into one of a model that is no parameter, if it is there.
 *
 * @throws ERR_CHECKPOINT if it has another shape
 */
export function fillBuffer(buffer: Tensor, name: string, checkpoint: Checkpoint): void {
  if (!checkpoint.has(name)) return;
  const all = { name, start: 0, end: buffer.shape[0]!, transposed: false };
  scope(() => fill(buffer, all, checkpoint.get(name), checkpoint.source));
}

export interface LoadReport {
  /** Our names of parameters that the checkpoint lacks and that were initialized. */
  initialized: string[];
  /** Their names of tensors that have no place here. */
  unused: string[];
}

/**
 * Copies the tensors of a checkpoint into the parameters of a model.
 *
 * @throws ERR_CHECKPOINT if one is missing that is not `fresh`, or has another shape
 */
export function loadCheckpoint(model: AnyModule, checkpoint: Checkpoint, layout: Layout): LoadReport {
  const report: LoadReport = { initialized: [], unused: [] };
  const used = new Set<string>();
  const { source } = checkpoint;
  for (const [name, parameter] of model.namedParameters()) {
    const parts = partsOf(name, parameter, layout.names);
    const found = parts.map((part) =>
      aliases(part.name, layout.prefix).find((alias) => checkpoint.has(alias)),
    );
    if (
      found.every((alias) => alias === undefined) &&
      layout.fresh?.some((path) => name.startsWith(`${path}.`))
    ) {
      initialize(parameter);
      report.initialized.push(name);
      continue;
    }
    parts.forEach((part, i) => {
      const alias = found[i];
      if (alias === undefined) throw new CheckpointError(`${source}: ${part.name} is missing`);
      used.add(alias);
      scope(() => fill(parameter, part, checkpoint.get(alias), source));
    });
  }
  for (const name of checkpoint.names()) {
    if (!used.has(name) && !layout.ignored?.test(name)) report.unused.push(name);
  }
  return report;
}

/** The parameters of a model by the names of its layout, read one by one: for writing. */
export async function* storedTensors(
  model: AnyModule,
  layout: Layout,
): AsyncGenerator<[string, StoredTensor]> {
  for (const [name, parameter] of model.namedParameters()) {
    for (const { name: theirs, start, end, transposed } of partsOf(name, parameter, layout.names)) {
      const part = slice(parameter.detach(), 0, start, end);
      const oriented = transposed ? part.T : part;
      const data = (await oriented.toTypedArray()) as Float32Array;
      yield [theirs, { dtype: "f32", shape: [...oriented.shape], data }];
    }
  }
}
