import { noGrad } from "../autograd.ts";
import { ArgumentError, checkInteger } from "../errors.ts";
import { unscoped } from "../memory.ts";
import { softmax } from "../ops/softmax.ts";
import { reshape } from "../ops/views.ts";
import type { Tensor } from "../tensor.ts";
import type { Anatomy } from "./anatomy.ts";
import type { Inputs } from "./inputs.ts";
import type { MessageName } from "./names.ts";
import type { Lens } from "./types.ts";
import { logitRows, unembeddingOf } from "./unembed.ts";

/** The streams between the layers of the last body: what enters the first, then what each sends. */
export function streamsOf({ bodies }: Anatomy): MessageName[] {
  const { body, blocks } = bodies.at(-1)!;
  if (blocks.length === 0) throw new ArgumentError("trace: the model must have a layer; got none");
  return [`${body}layer.1.in`, ...blocks.map((_, i): MessageName => `${body}layer.${i + 1}.out`)];
}

/** The places of the `count` largest of `values`, the largest first. */
function largest(values: Float32Array, count: number): number[] {
  const best: number[] = [];
  for (let i = 0; i < values.length; i++) {
    if (best.length === count && values[i]! <= values[best.at(-1)!]!) continue;
    if (best.length === count) best.pop();
    let at = best.length;
    while (at > 0 && values[best[at - 1]!]! < values[i]!) at--;
    best.splice(at, 0, i);
  }
  return best;
}

/**
 * What the model would say if it ended after each layer.
 *
 * @see nostalgebraist 2020, "interpreting GPT: the logit lens"
 */
export async function lensOf(
  anatomy: Anatomy,
  inputs: Inputs,
  get: (name: MessageName) => Tensor,
  top = 5,
): Promise<Lens> {
  const { size } = unembeddingOf(anatomy, "lens");
  const names = streamsOf(anatomy);
  const K = checkInteger("lens: top", top, 1, size);
  const [R, T] = [names.length, inputs.tokens.length];
  const streams = names.map(get);
  const ids = new Int32Array(R * T * K);
  const probabilitiesOf = new Float32Array(R * T * K);
  const targets = inputs.targets.slice(0, T);
  const targetProbabilities = new Float32Array(R * T).fill(NaN);
  const targetRanks = new Int32Array(R * T).fill(-1);
  for (const [r, stream] of streams.entries()) {
    const flat = stream.rank === 3 ? reshape(stream, [T, stream.shape[2]!]) : stream;
    for await (const { start, rows } of logitRows(anatomy, flat)) {
      using shares = unscoped(() => noGrad(() => softmax(rows)));
      const p = (await shares.toTypedArray()) as Float32Array;
      for (let n = 0; n < rows.shape[0]!; n++) {
        const row = p.subarray(n * size, (n + 1) * size);
        const at = r * T + start + n;
        for (const [k, id] of largest(row, K).entries()) {
          ids[at * K + k] = id;
          probabilitiesOf[at * K + k] = row[id]!;
        }
        const target = targets[start + n]!;
        if (target < 0) continue;
        const own = row[target]!;
        targetProbabilities[at] = own;
        targetRanks[at] = row.reduce((count, other) => count + Number(other > own), 0);
      }
    }
  }
  return {
    ...{ names, length: T, top: K, ids, probabilities: probabilitiesOf },
    ...{ targets, targetProbabilities, targetRanks },
  };
}
