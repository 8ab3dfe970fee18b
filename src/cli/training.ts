import { AdamW, ArgumentError, type GPT, type Schedule, step, type Tensor } from "../index.ts";
import type { Corpus } from "./corpus.ts";
import { Progress } from "./progress.ts";

export interface Plan {
  model: GPT;
  corpus: Corpus;
  learningRate: Schedule;
  weightDecay: number;
  maxGradNorm: number;
  steps: number;
  batchSize: number;
  /** Steps between evaluations on the sample of the held-out text. */
  evalEvery: number;
  /** Steps between checkpoints. */
  saveEvery: number;
  folder: string;
  seed: number;
}

export interface Outcome {
  firstLoss: number;
  lastLoss: number;
  steps: number;
  /** Of the steps alone, without evaluations and checkpoints. */
  tokensPerSecond: number;
}

/** What an update reports, once it is computed. Counted from 1. */
interface Update {
  step: number;
  loss: number;
  gradNorm: number;
}

function checkFinite(step: number, values: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(values)) {
    if (Number.isFinite(value)) continue;
    throw new ArgumentError(
      `step ${step}: the ${name} is ${value}; a lower --lr, a longer --warmup or a smaller --grad-clip may help`,
    );
  }
}

/** The result of `body`, or undefined if it was `signal` that ended it. */
export async function unlessAborted<T>(signal: AbortSignal, body: () => Promise<T>): Promise<T | undefined> {
  try {
    return await body();
  } catch (error) {
    if (signal.aborted && error === signal.reason) return undefined;
    throw error;
  }
}

/** Enqueues updates; what comes back is known when they have been computed. */
function updater({ model, learningRate, weightDecay, maxGradNorm }: Plan) {
  const optimizer = new AdamW(model.parameters(), { betas: [0.9, 0.99], weightDecay });
  const read = async (step: number, loss: Tensor, gradNorm: Tensor): Promise<Update> => {
    const [lossValue, normValue] = await Promise.all([loss.item(), gradNorm.item()]);
    loss.dispose();
    gradNorm.dispose();
    return { step, loss: lossValue, gradNorm: normValue };
  };
  return (i: number, inputs: Tensor, targets: Tensor): Promise<Update> => {
    const { loss, gradNorm } = step(() => {
      const { loss } = model(inputs, { targets });
      loss.backward();
      return { loss, ...optimizer.step({ learningRate: learningRate(i), maxGradNorm }) };
    });
    return read(i + 1, loss, gradNorm);
  };
}

/**
 * Trains, draws the progress and saves checkpoints, the last one after the last step. When `signal` aborts, that is the
 * step in flight.
 *
 * A step is enqueued before the loss of the one before it is read: the kernels never wait for JavaScript.
 *
 * @throws ArgumentError when a loss is not finite; the last checkpoint is then of an earlier step
 */
export async function train(plan: Plan, signal: AbortSignal): Promise<Outcome> {
  const { model, corpus, steps, batchSize, evalEvery, saveEvery, seed } = plan;
  const { contextLength } = model.config;
  const outcome: Outcome = { firstLoss: Number.NaN, lastLoss: Number.NaN, steps: 0, tokensPerSecond: 0 };
  const progress = new Progress();
  const update = updater(plan);
  let heldOutLoss: number | undefined;
  let inFlight: Promise<Update> | undefined;
  let training_ms = 0;
  let since_ms = performance.now();

  const report = ({ step, loss, gradNorm }: Update) => {
    checkFinite(step, { loss, "norm of the gradient": gradNorm });
    const now_ms = performance.now();
    training_ms += now_ms - since_ms;
    since_ms = now_ms;
    if (step === 1) outcome.firstLoss = loss;
    outcome.lastLoss = loss;
    outcome.steps = step;
    outcome.tokensPerSecond = (1000 * step * batchSize * contextLength) / training_ms;
    progress.update({
      step,
      steps,
      loss,
      gradNorm,
      learningRate: plan.learningRate(step - 1),
      tokensPerSecond: outcome.tokensPerSecond,
      ...(heldOutLoss !== undefined && { heldOutLoss }),
    });
  };
  const settle = async (next?: Promise<Update>) => {
    const last = inFlight;
    inFlight = next;
    next?.catch(() => {});
    if (last !== undefined) report(await last);
  };
  const evaluate = async () => {
    const loss = await unlessAborted(signal, () =>
      model.evaluate(corpus.heldOutSample, { batchSize, signal }),
    );
    if (loss !== undefined) checkFinite(outcome.steps, { "held-out loss": loss });
    heldOutLoss = loss;
  };

  try {
    const batches = corpus.train.batches({
      batchSize,
      contextLength,
      steps,
      seed,
      device: model.device,
    });
    for (const { step: i, inputs, targets } of batches) {
      await settle(update(i, inputs, targets));
      const isDue = (every: number) => i + 1 === steps || (i + 1) % every === 0;
      const isSaved = isDue(saveEvery) || signal.aborted;
      if (!isSaved && !isDue(evalEvery)) continue;
      await settle();
      await evaluate();
      if (isSaved || signal.aborted) await model.savePretrained(plan.folder, corpus);
      if (signal.aborted) break;
      since_ms = performance.now();
    }
  } finally {
    progress.finish();
  }
  return outcome;
}
