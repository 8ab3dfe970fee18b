import { noGrad } from "../autograd.ts";
import { ArgumentError, checkNumber, DtypeError, ShapeError } from "../errors.ts";
import { scope } from "../memory.ts";
import { Module } from "../nn/module.ts";
import { crossEntropy } from "../ops/crossentropy.ts";
import { add, sub } from "../ops/elementwise.ts";
import { embedding } from "../ops/embedding.ts";
import { argmax } from "../ops/reductions.ts";
import { asF32, concat, reshape } from "../ops/views.ts";
import { showShape } from "../shape.ts";
import { type Tensor, tensor } from "../tensor.ts";
import type { ClassificationInput } from "./classification-labels.ts";
import { logSumExp } from "./log-sum-exp.ts";

export interface VotingOptions {
  /** "soft": the mean of the members' probabilities; "hard": the share of members whose first choice it is. Default "soft". */
  voting?: "soft" | "hard";
  /** Of each member. Default: all alike. */
  weights?: readonly number[];
}

/** A classifier as an ensemble takes it: its logits are `[..., K]`. */
export type VotingMember<I> = Module<[ids: Tensor, input?: I], { logits: Tensor }>;

export interface VotingOutput {
  /** `[..., K]` f32: logarithms, the softmax of which gives the mean or the shares. */
  logits: Tensor;
  /** `[]` f32: the cross entropy; with labels only. */
  loss?: Tensor;
}

/** Of a class that no member votes for, the logarithm of its share: that of the smallest normal f32, and not -∞. */
const noVotes = Math.log(2 ** -126);

/**
 * Several trained classifiers as one, called as they are:
 *
 * ```ts
 * const ensemble = new VotingClassifier([bert, distil, roberta]).eval();
 * const { logits } = ensemble(ids, { lengths });
 * ```
 *
 * Logits are the logarithm of the mean of the members' probabilities. With hard voting they are that of the share of
 * votes: of equal ones the first class wins, as everywhere, and a class without votes has -87.3.
 *
 * An ensemble has no gradient: its members are trained one by one.
 *
 * @throws ERR_ARGUMENT on no members and on bad weights
 */
export class VotingClassifier<I extends object = ClassificationInput> extends Module<
  [ids: Tensor, input?: I & { labels?: Tensor }],
  VotingOutput
> {
  models: readonly VotingMember<I>[];
  readonly voting: "soft" | "hard";
  /** They add up to 1. */
  readonly weights: readonly number[];

  constructor(models: readonly VotingMember<I>[], { voting = "soft", weights }: VotingOptions = {}) {
    super();
    if (!Array.isArray(models) || models.length === 0 || !models.every((m) => m instanceof Module)) {
      const came = Array.isArray(models) && models.length === 0 ? "none" : String(models);
      throw new ArgumentError(`VotingClassifier: models must be an array of at least one model; got ${came}`);
    }
    if (voting !== "soft" && voting !== "hard") {
      throw new ArgumentError(`VotingClassifier: voting must be soft or hard; got ${String(voting)}`);
    }
    this.models = models;
    this.voting = voting;
    this.weights = shares("VotingClassifier: weights", weights, models.length);
  }

  /** `labels [...]` i32, -100 counts for nothing. */
  forward(ids: Tensor, input?: I & { labels?: Tensor }): VotingOutput {
    const { labels, ...rest } = input ?? {};
    if (labels !== undefined && labels.dtype !== "i32") {
      throw new DtypeError(`VotingClassifier: labels must be i32, classes; got ${labels.dtype}`);
    }
    return scope(() =>
      noGrad(() => {
        let shape: readonly number[] | undefined;
        const ballots = this.models.flatMap((model, m) => {
          const logits = asF32(model(ids, rest as I).logits);
          shape ??= logits.shape;
          if (showShape(shape) !== showShape(logits.shape)) {
            throw new ShapeError(
              `VotingClassifier: logits of models[${m}] must be ${showShape(shape)}, as those of models[0]; got ${showShape(logits.shape)}`,
            );
          }
          const weight = this.weights[m]!;
          return weight > 0 ? [reshape(this.ballot(logits, weight), [logits.size, 1])] : [];
        });
        const logits = reshape(logSumExp(concat(ballots, 1)), shape!);
        return { logits, ...(labels && { loss: crossEntropy(logits, labels) }) };
      }),
    );
  }

  /** `[N, K]`: what a member adds to the sum, as its logarithm. */
  private ballot(logits: Tensor, weight: number): Tensor {
    const K = logits.shape.at(-1)!;
    const N = logits.size / K;
    const rows = reshape(logits, [N, K]);
    if (this.voting === "soft") return add(sub(rows, reshape(logSumExp(rows), [N, 1])), Math.log(weight));
    const votes = new Float32Array(K * K).fill(noVotes);
    for (let k = 0; k < K; k++) votes[k * K + k] = Math.log(weight);
    return embedding(argmax(rows, 1), tensor(votes, [K, K], { device: logits.device }));
  }
}

/** @internal Weights, checked and divided by their sum; all alike if there are none. */
export function shares(name: string, weights: readonly number[] | undefined, count: number): number[] {
  if (weights === undefined) return new Array<number>(count).fill(1 / count);
  if (!Array.isArray(weights) || weights.length !== count) {
    throw new ArgumentError(`${name} must be ${count} numbers; got ${weights?.length ?? String(weights)}`);
  }
  const sum = weights.reduce((total, weight, i) => total + checkNumber(`${name}[${i}]`, weight, 0, 1e9), 0);
  if (sum === 0) throw new ArgumentError(`${name} must not be 0 all; got ${weights.join(", ")}`);
  return weights.map((weight) => weight / sum);
}
