import type { Dtype } from "../dtype.ts";
import { checkInteger, checkNumber } from "../errors.ts";
import { full, ones, rand, randn, zeros } from "../ops/creation.ts";
import { dropout } from "../ops/dropout.ts";
import { embedding } from "../ops/embedding.ts";
import { layerNorm } from "../ops/layernorm.ts";
import { type Activation, linear } from "../ops/products.ts";
import { rmsNorm } from "../ops/rmsnorm.ts";
import type { Tensor } from "../tensor.ts";
import { checkActivationDtype } from "./activation-dtype.ts";
import { Module, type Parameter, parameter } from "./module.ts";

export interface LinearOptions {
  /** Default true. */
  bias?: boolean;
  /** Applied in the same pass. Default none. */
  activation?: Activation;
  /** Standard deviation of normal initial weights with zero bias. Default: uniform in ±1/√inputs, as in PyTorch. */
  std?: number;
}

/** Affine map of the last axis: `[..., inputs] → [..., outputs]`. `weight [outputs, inputs]`, `bias [outputs]`. */
export class Linear extends Module<[x: Tensor, residual?: Tensor], Tensor> {
  weight: Parameter;
  bias: Parameter | undefined;
  activation: Activation | undefined;

  constructor(inputs: number, outputs: number, options: LinearOptions = {}) {
    super();
    checkInteger("Linear: inputs", inputs, 1);
    checkInteger("Linear: outputs", outputs, 1);
    const { std } = options;
    const bound = 1 / Math.sqrt(inputs);
    const initial = (shape: number[]) =>
      std === undefined ? rand(shape, { low: -bound, high: bound }) : randn(shape, { std });
    this.weight = parameter(() => initial([outputs, inputs]), [outputs, inputs]);
    this.bias =
      options.bias === false
        ? undefined
        : parameter(() => (std === undefined ? initial([outputs]) : zeros([outputs])), [outputs]);
    this.activation = options.activation;
  }

  /** @param residual `[..., outputs]`, added to the result in the same pass */
  forward(x: Tensor, residual?: Tensor): Tensor {
    return linear(x, this.weight, this.bias, this.activation, residual);
  }
}

export interface EmbeddingOptions {
  /** Standard deviation of the normal initial vectors. Default 1. */
  std?: number;
  /** Of the result. "bf16" starts mixed precision: what follows computes in bf16, parameters stay f32. Default f32. */
  dtype?: "f32" | "bf16";
}

/** A table of vectors: ids `[...]` i32 → `[..., size]`. `weight [count, size]`. */
export class Embedding extends Module<[ids: Tensor, dtype?: Dtype], Tensor> {
  weight: Parameter;
  readonly dtype: "f32" | "bf16" | undefined;

  constructor(count: number, size: number, options: EmbeddingOptions = {}) {
    super();
    checkInteger("Embedding: count", count, 1);
    checkInteger("Embedding: size", size, 1);
    this.weight = parameter(() => randn([count, size], { std: options.std ?? 1 }), [count, size]);
    this.dtype = checkActivationDtype("Embedding: dtype", options.dtype);
  }

  /** @param dtype of the result, in place of the module's */
  forward(ids: Tensor, dtype: Dtype | undefined = this.dtype): Tensor {
    return embedding(ids, this.weight, dtype);
  }
}

/** Layer normalization over the last axis, with gain 1 and bias 0 at first. */
export class LayerNorm extends Module {
  weight: Parameter;
  bias: Parameter | undefined;
  eps: number;

  constructor(size: number, options: { eps?: number; bias?: boolean } = {}) {
    super();
    checkInteger("LayerNorm: size", size, 1);
    this.weight = parameter(() => ones([size]));
    this.bias = options.bias === false ? undefined : parameter(() => zeros([size]));
    this.eps = checkNumber("LayerNorm: eps", options.eps ?? 1e-5, 0);
  }

  forward(x: Tensor): Tensor {
    return layerNorm(x, this.weight, this.bias, this.eps);
  }
}

/** Root-mean-square normalization over the last axis, with gain 1 at first. */
export class RMSNorm extends Module {
  weight: Parameter;
  eps: number;

  constructor(size: number, options: { eps?: number } = {}) {
    super();
    checkInteger("RMSNorm: size", size, 1);
    this.weight = parameter(() => full([size], 1));
    this.eps = checkNumber("RMSNorm: eps", options.eps ?? 1e-6, 0);
  }

  forward(x: Tensor): Tensor {
    return rmsNorm(x, this.weight, this.eps);
  }
}

/** Zeroes elements with probability `p` while training; does nothing in evaluation mode. */
export class Dropout extends Module {
  p: number;

  constructor(p = 0.5) {
    super();
    this.p = checkNumber("Dropout: p", p, 0, 1);
  }

  forward(x: Tensor): Tensor {
    return dropout(x, this.p, this.training);
  }
}
