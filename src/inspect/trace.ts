import { ArgumentError, checkInteger } from "../errors.ts";
import type { AnyModule } from "../nn/module.ts";
import { crossEntropy } from "../ops/crossentropy.ts";
import { reshape, slice } from "../ops/views.ts";
import { type Tensor, tensor } from "../tensor.ts";
import { type Anatomy, anatomyOf } from "./anatomy.ts";
import { checkBudget, costOf } from "./cost.ts";
import { type Inputs, inputsOf } from "./inputs.ts";
import { likeliest, logOdds, positionOf } from "./log-odds.ts";
import { messageShapes } from "./message-shapes.ts";
import type { Glob, MessageName } from "./names.ts";
import { planOf } from "./plan.ts";
import { RecordedTrace } from "./recorded-trace.ts";
import { Recorder } from "./recorder.ts";
import type { GradOf, Trace, TraceCost, TraceInput, TraceOptions } from "./types.ts";

/**
 * Runs a model once on a text and keeps, reads or changes what its parts send each other. The model is as it was
 * afterwards: in its mode, its gradients and its weights; dropout does nothing meanwhile.
 *
 * ```ts
 * const clean = await trace(model, a, { tokenizer, keep: ["layer.*.out"] });
 * const patched = await trace(model, b, { tokenizer, edits: [edit.replace("layer.3.out", clean, { at: 7 })] });
 * const logits = patched.get("logits"); // [T, V]
 * ```
 *
 * @param input a text (with `tokenizer`), ids, or a batch; for an encoder–decoder model `{ source, target }`
 * @throws ERR_ARGUMENT on a name that the model doesn't send, or, before anything runs, where `budget` is too small
 * @see Vig et al. 2020, "Causal Mediation Analysis" and Meng et al. 2022, "Locating and Editing Factual Associations in
 *      GPT" (replacing); Michel et al. 2019, "Are Sixteen Heads Really Better than One?" (silencing)
 */
export async function trace(model: AnyModule, input: TraceInput, options: TraceOptions = {}): Promise<Trace> {
  const { tokenizer, edits = [], gradOf } = options;
  const { anatomy, inputs, plan } = prepared(model, input, options);
  checkBudget(costOf(anatomy, inputs, plan), options.budget);
  const objective = gradOf === undefined ? undefined : objectiveOf(gradOf, anatomy, inputs);
  const traceOther = (other: TraceInput, keep: readonly string[]) =>
    trace(model, other, { keep: keep as Glob[], ...(tokenizer && { tokenizer }) });
  for (const edit of edits) await edit.prepare?.(traceOther);
  const recorder = new Recorder(plan);
  const value = recorder.run(anatomy, inputs, objective && { of: "logits", value: objective });
  const number = await value?.item();
  value?.dispose();
  return new RecordedTrace({ anatomy, inputs, plan, recorder, objective: number }, tokenizer);
}

/** What `trace` with the same arguments will take. Nothing runs. */
trace.cost = (model: AnyModule, input: TraceInput, options: TraceOptions = {}): TraceCost => {
  const { anatomy, inputs, plan } = prepared(model, input, options);
  return costOf(anatomy, inputs, plan);
};

/** The names of all messages that a model sends, in their order. */
trace.names = (model: AnyModule): MessageName[] => {
  const anatomy = anatomyOf(model);
  return messageShapes(anatomy, { tokens: 1, source: 1 }).map(({ name }) => name);
};

function prepared(model: AnyModule, input: TraceInput, options: TraceOptions) {
  const anatomy = anatomyOf(model);
  const inputs = inputsOf(anatomy, input, options.tokenizer);
  return { anatomy, inputs, plan: planOf(anatomy, inputs, options) };
}

/** What makes of logits the number whose gradient is asked for. */
function objectiveOf(gradOf: GradOf, anatomy: Anatomy, inputs: Inputs): (logits: Tensor) => Tensor {
  if (typeof gradOf === "function") return gradOf;
  const { batchSize: B, tokens, targets } = inputs;
  if (anatomy.unembedding === undefined) {
    throw new ArgumentError(
      `trace: gradOf must be a function: ${anatomy.model.constructor.name} has no logits of tokens`,
    );
  }
  if (gradOf === "loss") {
    const ids = targets.map((id) => (id < 0 ? -100 : id));
    if (ids.every((id) => id < 0))
      throw new ArgumentError('trace: gradOf "loss" needs a token to come after another; got none');
    return (logits) => crossEntropy(logits, tensor(ids, [B, tokens.length], { device: logits.device }));
  }
  if (B !== 1) throw new ArgumentError(`trace: gradOf { at } takes one text; got a batch of ${B}`);
  const at = positionOf("gradOf.at", gradOf?.at, tokens.length);
  if (gradOf.token !== undefined)
    checkInteger("trace: gradOf.token", gradOf.token, 0, anatomy.unembedding.size - 1);
  return (logits) => {
    const row = reshape(slice(logits, 1, at, at + 1), [1, logits.shape[2]!]);
    const comes = targets[at]!;
    return logOdds(row, gradOf.token ?? (comes < 0 ? likeliest(row) : comes));
  };
}
