import { LayerNorm, Linear } from "../nn/layers.ts";
import { Module, type Parameter, parameter } from "../nn/module.ts";
import { zeros } from "../ops/creation.ts";
import type { Tensor } from "../tensor.ts";
import type { FullBertConfig } from "./bert.ts";

/**
 * What predicts a masked token from the state at its place: a map with activation, a normalization and, with a bias of
 * its own, the matrix of the embeddings.
 */
export class MaskedLMHead extends Module {
  dense: Linear;
  norm: LayerNorm;
  /** `[V]` */
  bias: Parameter;

  constructor({
    hiddenSize,
    vocabSize,
    activation,
    normEps,
    modelType,
    initializerRange: std,
  }: FullBertConfig) {
    super();
    // RoBERTa's head has gelu whatever the layers have.
    const own = modelType === "roberta" ? "gelu" : activation;
    this.dense = new Linear(hiddenSize, hiddenSize, { std, activation: own });
    this.norm = new LayerNorm(hiddenSize, { eps: normEps });
    this.bias = parameter(() => zeros([vocabSize]), [vocabSize]);
  }

  /** `[B, T, C]` → `[B, T, C]`: what the matrix of the embeddings takes. */
  forward(x: Tensor): Tensor {
    return this.norm(this.dense(x));
  }
}
