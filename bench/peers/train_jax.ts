/**
 * Training steps of a GPT in jax-js on its WebAssembly backend, in f32: a peer of ../train.bench.ts.
 *
 * An operation of jax-js consumes its operands; `.ref` keeps one for another use. Tokens are looked up by a product with
 * their one-hot vectors; Adam takes the place of AdamW. The whole step is compiled by `jit`.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import type { ModelSize } from "../models.ts";
import { npmFolder } from "./folder.ts";
import { serveTraining } from "./serve.ts";

const [learningRate, beta1, beta2, eps] = [3e-4, 0.9, 0.95, 1e-8];

await serveTraining(async ({ model: size }: { model: ModelSize }) => {
  const jax = createRequire(npmFolder)("@jax-js/jax");
  const { numpy: np, nn, jit, valueAndGrad, tree } = jax;
  await jax.init("wasm");
  jax.defaultDevice("wasm");
  type Value = ReturnType<typeof np.array>;
  const { layers, heads, hidden: C, vocabulary: V, batch: B, length: T } = size;
  const D = C / heads;

  const random = (...shape: number[]): Value => {
    const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
    const count = shape.reduce((a, b) => a * b, 1);
    return np.array(Float32Array.from({ length: count }, () => 0.02 * normal())).reshape(shape);
  };
  const gain = (): Value => ({ scale: np.ones([C]), shift: np.zeros([C]) });
  const map = (inputs: number, outputs: number): Value => ({
    weight: random(inputs, outputs),
    bias: np.zeros([outputs]),
  });
  const oneHot = (): Value => {
    const values = new Float32Array(B * T * V);
    for (let i = 0; i < B * T; i++) values[i * V + Math.floor(Math.random() * V)] = 1;
    return np.array(values).reshape([B * T, V]);
  };
  const makeBlock = () => ({
    attentionNorm: gain(),
    query: map(C, C),
    key: map(C, C),
    value: map(C, C),
    output: map(C, C),
    mlpNorm: gain(),
    up: map(C, 4 * C),
    down: map(4 * C, C),
  });
  let parameters: Value = {
    tokens: random(V, C),
    positions: random(T, C),
    blocks: Array.from({ length: layers }, makeBlock),
    norm: gain(),
  };
  /** 0 where a position may look, else a number whose exponential is 0. */
  const future = Float32Array.from({ length: T * T }, (_, i) => (i % T > Math.floor(i / T) ? -1e9 : 0));
  const batch = { inputs: oneHot(), targets: oneHot(), mask: np.array(future).reshape([T, T]) };

  const normalize = (x: Value, { scale, shift }: Value): Value => nn.standardize(x, -1).mul(scale).add(shift);
  const linear = (x: Value, { weight, bias }: Value): Value => np.matmul(x, weight).add(bias);
  const attention = (x: Value, block: Value, mask: Value): Value => {
    const part = (input: Value, projection: Value) =>
      linear(input, projection).reshape([B, T, heads, D]).transpose([0, 2, 1, 3]);
    const q = part(x.ref, block.query);
    const k = part(x.ref, block.key);
    const v = part(x, block.value);
    const scores = np.matmul(q, k.transpose([0, 1, 3, 2])).mul(1 / Math.sqrt(D));
    const mixed = np.matmul(nn.softmax(scores.add(mask), -1), v);
    return linear(mixed.transpose([0, 2, 1, 3]).reshape([B * T, C]), block.output);
  };
  const lossOf = (p: Value, { inputs, targets, mask }: Value): Value => {
    const embedded = np.matmul(inputs, p.tokens.ref).reshape([B, T, C]);
    let x = embedded.add(p.positions).reshape([B * T, C]);
    for (const block of p.blocks) {
      x = x.ref.add(attention(normalize(x, block.attentionNorm), block, mask.ref));
      x = x.ref.add(linear(nn.gelu(linear(normalize(x, block.mlpNorm), block.up)), block.down));
    }
    mask.dispose();
    const logits = np.matmul(normalize(x, p.norm), p.tokens.transpose());
    return nn
      .logSoftmax(logits, -1)
      .mul(targets)
      .sum()
      .mul(-1 / (B * T));
  };
  const update = jit((p: Value, m: Value, v: Value, given: Value): Value[] => {
    const [loss, gradient] = valueAndGrad(lossOf)(tree.ref(p), given);
    const mix = (beta: number) => (mean: Value, x: Value) => mean.mul(beta).add(x.mul(1 - beta));
    const nextM = tree.map(mix(beta1), m, tree.ref(gradient));
    const nextV = tree.map(mix(beta2), v, tree.map(np.square, gradient));
    const move = (x: Value, first: Value, second: Value) =>
      x.sub(first.mul(learningRate).div(np.sqrt(second).add(eps)));
    return [loss, tree.map(move, p, tree.ref(nextM), tree.ref(nextV)), nextM, nextV];
  });
  const zeros = () => tree.map((x: Value) => np.zeros(x.shape), parameters);
  let [m, v] = [zeros(), zeros()];
  const { version } = JSON.parse(
    readFileSync(path.join(npmFolder, "node_modules/@jax-js/jax/package.json"), "utf8"),
  );
  return {
    version,
    async trainStep() {
      let loss: Value;
      [loss, parameters, m, v] = update(parameters, m, v, tree.ref(batch));
      await jax.blockUntilReady(parameters);
      return loss.jsAsync();
    },
  };
});
