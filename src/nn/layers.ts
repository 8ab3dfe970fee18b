import { checkInteger, checkNumber } from "../errors.ts";
import { full, ones, rand, randn, zeros } from "../ops/creation.ts";
import { dropout } from "../ops/dropout.ts";
import { embedding } from "../ops/embedding.ts";
import { layerNorm } from "../ops/layernorm.ts";
import { type Activation, linear } from "../ops/products.ts";
import { rmsNorm } from "../ops/rmsnorm.ts";
import type { Tensor } from "../tensor.ts";
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
export class Linear extends Module {
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
    this.weight = parameter(() => initial([outputs, inputs]));
    this.bias =
      options.bias === false
        ? undefined
        : parameter(() => (std === undefined ? initial([outputs]) : zeros([outputs])));
    this.activation = options.activation;
  }

  forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias, this.activation);
  }
}

/** A table of vectors: ids `[...]` i32 → `[..., size]`. `weight [count, size]`, normal with deviation `std` (default 1). */
export class Embedding extends Module {
  weight: Parameter;

  constructor(count: number, size: number, options: { std?: number } = {}) {
    super();
    checkInteger("Embedding: count", count, 1);
    checkInteger("Embedding: size", size, 1);
    this.weight = parameter(() => randn([count, size], { std: options.std ?? 1 }));
  }

  forward(ids: Tensor): Tensor {
    return embedding(ids, this.weight);
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
