import { type Activation, linear, matmul } from "../../src/ops/products.ts";
import { sizeOf } from "../../src/shape.ts";
import { defineCase, type Input, Reference, shapeOf } from "../case.ts";
import { activationReferences } from "./activations.ts";

/** Batched product by definition; b's batch axes broadcast from the left if it has fewer. */
function multiply(a: Reference, b: Reference): Reference {
  const [M, K] = a.shape.slice(-2) as [number, number];
  const N = b.shape.at(-1)!;
  const batches = sizeOf(a.shape.slice(0, -2));
  const bBatches = sizeOf(b.shape.slice(0, -2));
  const y = new Reference([...a.shape.slice(0, -1), N]);
  for (let i = 0; i < batches; i++)
    for (let m = 0; m < M; m++)
      for (let n = 0; n < N; n++)
        for (let k = 0; k < K; k++)
          y.data[(i * M + m) * N + n]! +=
            a.data[(i * M + m) * K + k]! * b.data[((i % bBatches) * K + k) * N + n]!;
  return y;
}

function transpose(x: Reference): Reference {
  const [M, N] = x.shape.slice(-2) as [number, number];
  const y = new Reference([...x.shape.slice(0, -2), N, M]);
  x.data.forEach((v, i) => {
    const [batch, m, n] = [Math.floor(i / (M * N)), Math.floor(i / N) % M, i % N];
    y.data[batch * M * N + n * M + m] = v;
  });
  return y;
}

const product = (sizes: Record<string, Input>) => {
  const [a, b] = Object.values(sizes).map(shapeOf);
  const flops = 2 * sizeOf(a!) * (sizeOf(b!) / b!.at(-1)! === a!.at(-1)! ? b!.at(-1)! : b!.at(-2)!);
  return { forward: { flops }, backward: { flops: 2 * flops } };
};

const linearSizes = (...bias: string[]) => {
  const at = (M: readonly number[], K: number, N: number): Record<string, Input> => ({
    x: [...M, K],
    weight: [N, K],
    ...Object.fromEntries(bias.map((name) => [name, [N]])),
  });
  return {
    tiny: at([2, 3], 5, 7),
    row: at([1], 37, 65),
    skinny: at([5], 33, 17),
    ragged: at([31], 19, 70),
    empty: at([0], 3, 4),
    large: at([131], 257, 193),
    model: at([512], 768, 3072),
  };
};

export default [
  defineCase({
    multiplies: true,
    name: "matmul",
    sizes: {
      tiny: { a: [5, 7], b: [7, 3] },
      batched: { a: [2, 3, 4, 5], b: [2, 3, 5, 6] },
      "shared right": { a: [3, 4, 5], b: [5, 6] },
      "broadcast right": { a: [2, 3, 4, 5], b: [3, 5, 6] },
      "inner product": { a: [1, 9], b: [9, 1] },
      empty: { a: [3, 0], b: [0, 2] },
      large: { a: [150, 301], b: [301, 130] },
      model: { a: [1024, 1024], b: [1024, 1024] },
    },
    run: ({ a, b }) => matmul(a!, b!),
    reference: ({ a, b }) => multiply(a!, b!),
    work: product,
  }),
  defineCase({
    multiplies: true,
    name: "matmul of transposed views",
    sizes: {
      tiny: { a: [7, 5], b: [3, 7] },
      batched: { a: [2, 5, 4], b: [2, 6, 5] },
      large: { a: [301, 150], b: [130, 301] },
    },
    run: ({ a, b }) => matmul(a!.T, b!.T),
    reference: ({ a, b }) => multiply(transpose(a!), transpose(b!)),
  }),
  defineCase({
    multiplies: true,
    name: "linear",
    sizes: linearSizes(),
    run: ({ x, weight }) => linear(x!, weight!),
    reference: ({ x, weight }) => multiply(x!, transpose(weight!)),
    work: product,
  }),
  ...([undefined, "gelu", "geluTanh", "relu", "silu"] as (Activation | undefined)[]).map((activation) =>
    defineCase({
      multiplies: true,
      name: `linear with bias${activation ? ` and ${activation}` : ""}`,
      sizes: linearSizes("bias"),
      run: ({ x, weight, bias }) => linear(x!, weight!, bias, activation),
      reference({ x, weight, bias }) {
        const N = weight!.shape[0]!;
        const pre = multiply(x!, transpose(weight!));
        const f = activation ? activationReferences[activation] : (v: number) => v;
        return new Reference(
          pre.shape,
          pre.data.map((v, i) => f(v + bias!.data[i % N]!)),
        );
      },
      work: product,
      tolerance: activation === "relu" ? { gradient: 1e-4 } : {},
    }),
  ),
];
