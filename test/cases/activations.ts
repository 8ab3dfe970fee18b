import { gelu, geluTanh } from "../../src/ops/gelu.ts";
import { relu } from "../../src/ops/relu.ts";
import { silu } from "../../src/ops/silu.ts";
import { tanh } from "../../src/ops/tanh.ts";
import { sizeOf } from "../../src/shape.ts";
import type { Tensor } from "../../src/tensor.ts";
import { defineCase, shapeOf, traffic } from "../case.ts";

/** erf by its series, and by the continued fraction of erfc for large arguments: full float64 precision. */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 3) {
    let term = a;
    let sum = a;
    for (let n = 1; Math.abs(term) > 1e-18 * sum; n++) {
      term *= (-a * a) / n;
      sum += term / (2 * n + 1);
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * (a + fraction)));
}

export const activationReferences = {
  gelu: (x: number) => (x / 2) * (1 + erf(x / Math.SQRT2)),
  geluTanh: (x: number) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  relu: (x: number) => Math.max(x, 0),
  silu: (x: number) => x / (1 + Math.exp(-x)),
};

const activations: Record<string, (x: Tensor) => Tensor> = { gelu, geluTanh, relu, silu, tanh };

export default Object.entries({ ...activationReferences, tanh: Math.tanh }).map(([name, reference]) =>
  defineCase({
    name,
    sizes: {
      tiny: { x: [3, 5, 7] },
      empty: { x: [0] },
      large: { x: [301, 163] },
      model: { x: [2048, 3072] },
    },
    run: ({ x }) => activations[name]!(x!),
    reference: ({ x }) => x!.map(reference),
    awayFromZero: name === "relu" ? 0.05 : 0,
    work({ x }) {
      const N = sizeOf(shapeOf(x!));
      return { forward: traffic(N, N), backward: traffic(2 * N, N) };
    },
  }),
);
