import { noGrad } from "../autograd.ts";
import { type Device, defaultDevice, isDevice, onMeta } from "../device.ts";
import { ArgumentError, checkInteger } from "../errors.ts";
import { generatorState, setGeneratorState } from "../generator.ts";
import { freeingAll, memory, resetPeakMemory, scope } from "../memory.ts";
import { Embedding } from "../nn/layers.ts";
import { type AnyModule, Module } from "../nn/module.ts";
import { TransformerBlock } from "../nn/transformer.ts";
import { makeOptimizer, type OptimizerName } from "../optim/make-optimizer.ts";
import { showBytes } from "../print.ts";
import type { Tensor } from "../tensor.ts";
import { setGradientCheckpointing } from "../train/gradient-checkpointing.ts";
import { type BatchSize, sampleLoss, samplePass } from "./sample-pass.ts";
import { twinOf } from "./twin.ts";

export interface MemoryEstimateOptions<M extends AnyModule = AnyModule> {
  /** Rows of a batch. */
  batchSize: number;
  /** Tokens of a row; of an encoder-decoder those of the encoder. */
  sequenceLength: number;
  /** Tokens of a row of the decoder. Default `sequenceLength`. */
  targetLength?: number;
  /** Whether it is trained; if not, one forward pass without labels is made. Default true. */
  training?: boolean;
  /** By its name, see `makeOptimizer`; or what makes one of the trained parameters; or none. Default "adamw". */
  optimizer?: OptimizerName | "none" | ((parameters: Tensor[]) => { step(): unknown });
  /** In which the model computes. Default: as it is. */
  dtype?: "f32" | "bf16";
  /** Whether blocks compute their activations again in the backward pass. Default: as the model is. */
  gradientCheckpointing?: boolean;
  /** Where it is to run; it need not be there. Default `defaultDevice()`. */
  device?: Device;
  /** The loss of a batch, for a model of another kind; its inputs must be made on `defaultDevice()`. */
  loss?: (model: M, size: BatchSize) => Tensor;
}

/** Bytes. */
export interface MemoryEstimate {
  /** With the tables of positions that are no parameters. */
  parameters: number;
  gradients: number;
  optimizerState: number;
  /** Copies of weights in the order in which products read them, and what else a model makes once. */
  packedWeights: number;
  /** What a pass holds beside these at the moment at which it holds the most. */
  activations: number;
  /** The most that tensors hold at once. */
  total: number;
  /** For people: `GPT with 8 × 1024 tokens needs 3.1 GB: parameters 0.5 GB, …`. */
  text: string;
}

function* modulesIn(module: AnyModule): Generator<AnyModule> {
  yield module;
  for (const [, child] of module.children()) yield* modulesIn(child);
}

/** Makes every embedding give this dtype; what follows computes in the dtype of what it gets. */
function computeIn(model: AnyModule, dtype: "f32" | "bf16"): void {
  const embeddings = [...modulesIn(model)].filter((module) => module instanceof Embedding);
  if (embeddings.length === 0) {
    throw new ArgumentError(
      `estimateMemory: dtype needs a model that begins with an Embedding; got ${model.constructor.name}`,
    );
  }
  for (const embedding of embeddings)
    Object.assign(embedding, { dtype: dtype === "bf16" ? dtype : undefined });
}

const recomputes = (model: AnyModule): boolean =>
  [...modulesIn(model)].some((each) => each instanceof TransformerBlock && Object.hasOwn(each, "forward"));

function make<M extends AnyModule>(model: M | (() => M), options: MemoryEstimateOptions<M>): M {
  const made = model instanceof Module ? twinOf(model) : (model as () => M)();
  if (!(made instanceof Module) || made.parameters().some((p) => p.device !== "meta")) {
    throw new ArgumentError(
      "estimateMemory: model must be a Module, or a function that makes one anew on defaultDevice()",
    );
  }
  if (options.dtype !== undefined) computeIn(made, options.dtype);
  const recompute = options.gradientCheckpointing ?? (model instanceof Module && recomputes(model));
  if (recompute) setGradientCheckpointing(made, true);
  return made.train(options.training ?? true);
}

type Parts = Omit<MemoryEstimate, "text">;
type Trained = { step(): unknown } | undefined;

/** Bytes that tensors on "meta" hold now, and the most since the last reset. */
const live = (): number => memory("meta").liveBytes;
const peak = (): number => memory("meta").peakBytes;

function freeGradients(parameters: readonly Tensor[]): void {
  for (const p of parameters) {
    (p.gradientBuffer ?? p.gradient)?.storage.free();
    p.gradient = undefined;
  }
}

/** Runs two steps after a pass without an update, and tells what stays of each. */
function followTraining(
  lossOf: () => Tensor,
  trained: readonly Tensor[],
  optimizerOf: () => Trained,
): Pick<Parts, "gradients" | "optimizerState" | "packedWeights"> {
  const start = live();
  const optimizer = optimizerOf();
  const withOptimizer = live();
  scope(() => lossOf().backward());
  const afterPass = live();
  freeGradients(trained.filter((p) => p.gradientBuffer === undefined)); // the optimizer has no place for them
  const packedWeights = live() - withOptimizer;
  const unplaced = afterPass - live();
  for (let step = 0; optimizer !== undefined && step < 2; step++) {
    scope(() => {
      lossOf().backward();
      optimizer.step();
    });
  }
  const afterSteps = live();
  freeGradients(trained);
  const gradients = afterSteps - live() || unplaced;
  return { gradients, optimizerState: live() - start - packedWeights, packedWeights };
}

/** Runs what is asked for on "meta", and follows the memory that it would take. */
function follow<M extends AnyModule>(
  model: M | (() => M),
  size: BatchSize,
  options: MemoryEstimateOptions<M>,
): Parts & { name: string } {
  const { training = true, loss = sampleLoss, optimizer = "adamw" } = options;
  resetPeakMemory("meta");
  const start = live();
  const made = make(model, options);
  const parameters = live() - start;
  resetPeakMemory("meta"); // without what initial values took
  let rest = { gradients: 0, optimizerState: 0, packedWeights: 0 };
  if (training) {
    const trained = made.parameters().filter((p) => p.requiresGrad);
    const optimizerOf = (): Trained => {
      if (typeof optimizer === "function") return optimizer(trained);
      return optimizer === "none" ? undefined : makeOptimizer(optimizer, made);
    };
    rest = followTraining(() => loss(made, size), trained, optimizerOf);
  } else {
    const pass = options.loss ?? samplePass;
    noGrad(() => scope(() => void pass(made, size)));
    rest.packedWeights = live() - start - parameters;
  }
  const total = peak() - start;
  const held = parameters + rest.gradients + rest.optimizerState + rest.packedWeights;
  const activations = Math.max(0, total - held); // nothing, where making the optimizer takes the most
  return { name: made.constructor.name, parameters, ...rest, activations, total };
}

/**
 * The memory that tensors will take, before anything is computed: the model, its optimizer and two steps on a batch of
 * that size run on "meta", where tensors have shapes but no memory. So what is counted is what a run would ask for, and
 * even a model can be tried that fits on no machine.
 *
 * ```ts
 * estimateMemory(() => new GPT(config), { batchSize: 8, sequenceLength: 1024, dtype: "bf16" }).text;
 * ```
 *
 * Not counted: what kernels take for themselves while they run, batches that wait, JavaScript.
 *
 * @param model of this package, or any with `loss`; a function that makes one anew takes no memory for it at all. A
 *   model with `#private` fields must come as a function
 * @throws ERR_ARGUMENT, and what the model throws for a batch of that size
 */
export function estimateMemory<M extends AnyModule>(
  model: M | (() => M),
  options: MemoryEstimateOptions<M>,
): MemoryEstimate {
  if (typeof model !== "function") {
    throw new ArgumentError(
      `estimateMemory: model must be a Module or a function that makes one; got ${String(model)}`,
    );
  }
  const { batchSize, sequenceLength, targetLength = sequenceLength, device = defaultDevice() } = options;
  checkInteger("estimateMemory: batchSize", batchSize, 1);
  checkInteger("estimateMemory: sequenceLength", sequenceLength, 1);
  checkInteger("estimateMemory: targetLength", targetLength, 1);
  if (!isDevice(device)) {
    throw new ArgumentError(`estimateMemory: device must be "cpu" or "cuda"; got ${String(device)}`);
  }
  const { dtype } = options;
  if (dtype !== undefined && dtype !== "f32" && dtype !== "bf16") {
    throw new ArgumentError(`estimateMemory: dtype must be "f32" or "bf16"; got ${String(dtype)}`);
  }
  const size = { batchSize, sequenceLength, targetLength };
  const generator = generatorState();
  try {
    const { name, ...parts } = onMeta(device, () => freeingAll("meta", () => follow(model, size, options)));
    return { ...parts, text: textOf(name, size, parts) };
  } finally {
    setGeneratorState(generator);
  }
}

function textOf(name: string, { batchSize, sequenceLength }: BatchSize, parts: Parts): string {
  const shown = Object.entries({
    parameters: parts.parameters,
    gradients: parts.gradients,
    "optimizer state": parts.optimizerState,
    "packed weights": parts.packedWeights,
    activations: parts.activations,
  }).filter(([, bytes]) => bytes > 0);
  const list = shown.map(([what, bytes]) => `${what} ${showBytes(bytes)}`).join(", ");
  return `${name} with ${batchSize} × ${sequenceLength} tokens needs ${showBytes(parts.total)}: ${list}`;
}
