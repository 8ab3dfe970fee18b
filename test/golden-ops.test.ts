import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import {
  attention,
  crossEntropy,
  embedding,
  gelu,
  geluTanh,
  layerNorm,
  RotaryPositions,
  rmsNorm,
  silu,
  sinusoidalPositions,
  type Tensor,
  tensor,
} from "../src/index.ts";
import { readSafetensors } from "../src/io/safetensors.ts";

/** What PyTorch computes for the ops whose definition could be misread, from test/golden/make_ops.py. */
const { tensors } = await readSafetensors(fileURLToPath(new URL("golden/ops.safetensors", import.meta.url)));

type Inputs = Record<string, Tensor>;
const cases: Record<string, (inputs: Inputs) => Tensor> = {
  layer_norm: ({ x, weight, bias }) => layerNorm(x!, weight!, bias, 1e-5),
  rms_norm: ({ x, weight }) => rmsNorm(x!, weight!, 1e-6),
  gelu: ({ x }) => gelu(x!),
  gelu_tanh: ({ x }) => geluTanh(x!),
  silu: ({ x }) => silu(x!),
  cross_entropy: ({ logits, targets }) => crossEntropy(logits!, targets!).reshape(1),
  cross_entropy_smoothed: ({ logits, targets }) =>
    crossEntropy(logits!, targets!, { labelSmoothing: 0.1 }).reshape(1),
  attention_causal: ({ q, k, v }) => attention(q!, k!, v!, { causal: true }),
  attention_cross: ({ q, k, v }) => attention(q!, k!, v!),
  attention_grouped: ({ q, k, v }) => attention(q!, k!, v!, { causal: true }),
  rotary: ({ x }) => new RotaryPositions(20, 6)(x!),
  rotary_offset: ({ x }) => new RotaryPositions(20, 6)(x!, 5),
  sinusoidal: () => sinusoidalPositions(9, 10),
  embedding: ({ indices, weight }) => embedding(indices!, weight!),
};

function expectClose(what: string, got: Tensor, expected: ArrayLike<number>): void {
  const values = got.toTypedArraySync();
  expect(values.length, what).toBe(expected.length);
  const scale = Math.max(...Array.from(expected, Math.abs));
  const error = Math.max(...Array.from(values, (v, i) => Math.abs(v - expected[i]!)));
  expect(error / scale, what).toBeLessThan(1e-5);
}

test.each(Object.entries(cases))("%s equals PyTorch's, forward and backward", (name, run) => {
  const stored = [...tensors]
    .filter(([key]) => key.startsWith(`${name}.`))
    .map(([key, t]) => [key.slice(name.length + 1), t] as const);
  const all = Object.fromEntries(stored.map(([key, t]) => [key, tensor(t.data, t.shape)]));
  const inputs = Object.fromEntries(Object.entries(all).filter(([key]) => `d${key}` in all && key !== "y"));
  for (const input of Object.values(inputs)) input.requiresGrad = true;
  const y = run(all);
  expectClose("y", y, tensors.get(`${name}.y`)!.data);
  if (all.dy === undefined) return;
  y.backward(all.dy);
  for (const [key, input] of Object.entries(inputs))
    expectClose(`d${key}`, input.grad!, tensors.get(`${name}.d${key}`)!.data);
});
