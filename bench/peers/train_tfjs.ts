/**
 * Training steps of a GPT in TensorFlow.js on its WebAssembly backend, in f32: a peer of ../train.bench.ts.
 *
 * The backend has no gradient of a gather, so that tokens are looked up by a product with their one-hot vectors. It has no
 * AdamW: Adam takes its place. In Node it computes with one thread.
 */
import { createRequire } from "node:module";
import path from "node:path";
import type { ModelSize } from "../models.ts";
import { npmFolder } from "./folder.ts";
import { serveTraining } from "./serve.ts";

const require = createRequire(npmFolder);

await serveTraining(async ({ model: size }: { model: ModelSize }) => {
  const tf = require("@tensorflow/tfjs");
  const { setWasmPaths } = require("@tensorflow/tfjs-backend-wasm");
  setWasmPaths(path.join(npmFolder, "node_modules/@tensorflow/tfjs-backend-wasm/dist/"));
  await tf.setBackend("wasm");
  await tf.ready();
  type Value = ReturnType<typeof tf.tensor>;
  const { layers, heads, hidden: C, vocabulary: V, batch: B, length: T } = size;
  const D = C / heads;

  const random = (...shape: number[]): Value => tf.variable(tf.randomNormal(shape, 0, 0.02));
  const gain = (): Value => ({ scale: tf.variable(tf.ones([C])), shift: tf.variable(tf.zeros([C])) });
  const map = (inputs: number, outputs: number): Value => ({
    weight: random(inputs, outputs),
    bias: tf.variable(tf.zeros([outputs])),
  });
  const tokens = random(V, C);
  const positions = random(T, C);
  const finalNorm = gain();
  const blocks = Array.from({ length: layers }, () => ({
    attentionNorm: gain(),
    qkv: map(C, 3 * C),
    output: map(C, C),
    mlpNorm: gain(),
    up: map(C, 4 * C),
    down: map(4 * C, C),
  }));
  const oneHot = (): Value => {
    const ids = Int32Array.from({ length: B * T }, () => Math.floor(Math.random() * V));
    return tf.oneHot(tf.tensor1d(ids, "int32"), V).toFloat();
  };
  const [inputs, targets] = [oneHot(), oneHot()];
  /** 0 where a position may look, else a number whose exponential is 0. */
  const mask = tf.tidy(() =>
    tf.linalg
      .bandPart(tf.ones([T, T]), -1, 0)
      .sub(1)
      .mul(1e9),
  );

  const normalize = (x: Value, { scale, shift }: Value): Value => {
    const centred = x.sub(x.mean(-1, true));
    const variance = centred.square().mean(-1, true);
    return centred.mul(variance.add(1e-5).rsqrt()).mul(scale).add(shift);
  };
  const linear = (x: Value, { weight, bias }: Value): Value => x.matMul(weight).add(bias);
  const gelu = (x: Value): Value => {
    const inner = x.add(x.mul(x).mul(x).mul(0.044715)).mul(Math.sqrt(2 / Math.PI));
    return x.mul(0.5).mul(inner.tanh().add(1));
  };
  const attention = (x: Value, block: Value): Value => {
    const parts = tf.split(linear(x, block.qkv), 3, 1);
    const [q, k, v] = parts.map((part: Value) => part.reshape([B, T, heads, D]).transpose([0, 2, 1, 3]));
    const weights = tf.softmax(
      tf
        .matMul(q, k, false, true)
        .mul(1 / Math.sqrt(D))
        .add(mask),
    );
    return linear(
      tf
        .matMul(weights, v)
        .transpose([0, 2, 1, 3])
        .reshape([B * T, C]),
      block.output,
    );
  };
  const loss = (): Value => {
    let x = inputs
      .matMul(tokens)
      .reshape([B, T, C])
      .add(positions)
      .reshape([B * T, C]);
    for (const block of blocks) {
      x = x.add(attention(normalize(x, block.attentionNorm), block));
      x = x.add(linear(gelu(linear(normalize(x, block.mlpNorm), block.up)), block.down));
    }
    const logits = tf.matMul(normalize(x, finalNorm), tokens, false, true);
    return tf.logSoftmax(logits).mul(targets).sum(-1).mean().neg();
  };
  const optimizer = tf.train.adam(3e-4, 0.9, 0.95);
  return {
    version: tf.version["tfjs-core"],
    async trainStep() {
      const value = optimizer.minimize(loss, true);
      const [number] = await value.data();
      value.dispose();
      return number;
    },
  };
});
