import {
  chunkedCrossEntropy,
  type LinearCrossEntropyOptions,
  linearCrossEntropy,
} from "../../src/ops/linearcrossentropy.ts";
import { sizeOf } from "../../src/shape.ts";
import type { Tensor } from "../../src/tensor.ts";
import { defineCase, type Input, type Inputs, Reference, shapeOf } from "../case.ts";
import { smoothedCrossEntropy } from "./softmax.ts";

const ignore = -1;

/** x · weightᵀ + bias. */
function logitsOf({ x, weight, bias }: Inputs<Reference>): Reference {
  const rows = weight!.rows();
  const logits = new Reference([...x!.shape.slice(0, -1), rows.length]);
  x!.rows().forEach((x_n, n) => {
    rows.forEach((w_v, v) => {
      let sum = bias?.data[v] ?? 0;
      for (let c = 0; c < x_n.length; c++) sum += x_n[c]! * w_v[c]!;
      logits.data[n * rows.length + v] = sum;
    });
  });
  return logits;
}

const sizes = (withBias: boolean) => {
  const at = (N: readonly number[], C: number, V: number, values?: readonly number[]): Inputs<Input> => ({
    x: [...N, C],
    weight: [V, C],
    ...(withBias ? { bias: [V] } : {}),
    targets: values ? { ids: N, values } : { ids: N, below: V },
  });
  return {
    tiny: at([2, 3], 5, 19),
    row: at([1], 9, 37),
    ragged: at([19], 7, 53),
    ignored: at([5], 4, 11, [0, ignore, 1, 2, ignore]),
    "one class": at([2], 3, 1),
    large: at([1030], 24, 1100), // two blocks of rows, two chunks of classes
    ...(withBias ? {} : { model: at([256], 768, 50257) }),
  };
};

type Head = (x: Tensor, weight: Tensor, targets: Tensor, options: LinearCrossEntropyOptions) => Tensor;
const heads: Record<string, Head> = { "": linearCrossEntropy, " in chunks": chunkedCrossEntropy };

export default Object.entries(heads).flatMap(([how, head]) =>
  [
    { what: "", smoothing: 0, mean: true, withBias: false },
    { what: " with bias", smoothing: 0, mean: true, withBias: true },
    { what: " with bias and label smoothing", smoothing: 0.1, mean: true, withBias: true },
    { what: " with bias, sum", smoothing: 0, mean: false, withBias: true },
  ].map(({ what, smoothing, mean, withBias }) =>
    defineCase({
      multiplies: true,
      name: `linearCrossEntropy${how}${what}`,
      sizes: sizes(withBias),
      run: ({ x, weight, bias, targets }) =>
        head(x!, weight!, targets!, {
          bias,
          labelSmoothing: smoothing,
          ignoreIndex: ignore,
          reduction: mean ? "mean" : "sum",
        }),
      reference: (inputs) => smoothedCrossEntropy(logitsOf(inputs), inputs.targets!, smoothing, mean, ignore),
      work({ x, weight }) {
        const products = 2 * (sizeOf(shapeOf(x!)) / shapeOf(x!).at(-1)!) * sizeOf(shapeOf(weight!));
        return { forward: { flops: products }, backward: { flops: 2 * products } };
      },
    }),
  ),
);
