import type { AnyModule } from "../../nn/module.ts";
import { trace } from "../trace.ts";
import type { Probe } from "./history.ts";

/** Tokens of a half of a probe that nobody chose. */
const half = 24;

/** Random tokens said twice: nothing but an earlier copy can tell what comes in the second half. */
export function repeatedTokens(vocabSize: number, contextLength: number): number[] {
  const length = Math.min(half, Math.floor(contextLength / 2), vocabSize);
  let state = 1;
  const ids = new Set<number>();
  while (ids.size < length) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    ids.add(Math.floor((state / 2 ** 32) * vocabSize));
  }
  return [...ids, ...ids];
}

/** The mean share of a head's attention `[T, T]` on the token before, and on those after earlier copies. */
export function shares(weights: Float32Array, ids: readonly number[]): [previous: number, afterCopy: number] {
  const T = ids.length;
  let [previous, after, copies] = [0, 0, 0];
  for (let i = 1; i < T; i++) {
    previous += weights[i * T + i - 1]!;
    const earlier = [...ids.keys()].filter((j) => j < i && ids[j] === ids[i]);
    if (earlier.length > 0) copies++;
    for (const j of earlier) if (j + 1 < i) after += weights[i * T + j + 1]!;
  }
  return [previous / Math.max(1, T - 1), after / Math.max(1, copies)];
}

/** Traces the probe: what every head of self-attention does on it, and the loss where a token is said again. */
export async function probe(model: AnyModule, ids: readonly number[], step: number): Promise<Probe> {
  await using run = await trace(model, ids, { keep: ["small", "layer.*.attn.weights"] });
  const T = ids.length;
  const heads: [number, number, number, number][] = [];
  for (const name of run.names) {
    const layer = Number(/^layer\.(\d+)\.attn\.weights$/.exec(name)?.[1]);
    if (!(layer > 0)) continue;
    const weights = (await run.get(name).toTypedArray()) as Float32Array;
    for (let h = 0; h < weights.length / T / T; h++) {
      const [previous, after] = shares(weights.subarray(h * T * T, (h + 1) * T * T), ids);
      heads.push([layer, h + 1, rounded(previous), rounded(after)]);
    }
  }
  const lens = await run.lens({ top: 1 });
  const last = (lens.names.length - 1) * T;
  const again = [...ids.keys()].filter((t) => t + 1 < T && ids.indexOf(ids[t + 1]!) <= t);
  const counted = again.length > 0 ? again : [...ids.keys()].slice(0, -1);
  const losses = counted.map((t) => -Math.log(lens.targetProbabilities[last + t]!));
  return { kind: "probe", step, heads, loss: losses.reduce((a, b) => a + b, 0) / losses.length };
}

const rounded = (share: number): number => Math.round(share * 1e4) / 1e4;
