import { noGrad } from "../autograd.ts";
import { checkTokenIds } from "../data/token-ids.ts";
import { ArgumentError } from "../errors.ts";
import { scope, unscoped } from "../memory.ts";
import { argmax } from "../ops/reductions.ts";
import { asF32, reshape, slice, toDevice } from "../ops/views.ts";
import type { Tensor } from "../tensor.ts";
import type { Anatomy, Unembedding } from "./anatomy.ts";
import type { Inputs } from "./inputs.ts";
import { logOddsOf } from "./log-odds.ts";
import { undisturbed } from "./undisturbed.ts";

/** Most logits at once. */
const maxElements = 2 ** 24;

/** @throws ERR_ARGUMENT for a model without logits of tokens */
export function unembeddingOf({ model, unembedding }: Anatomy, what: string): Unembedding {
  if (unembedding !== undefined) return unembedding;
  throw new ArgumentError(
    `trace: ${what} needs a model whose logits are of tokens; ${model.constructor.name} has no such head`,
  );
}

/** Logits `[n, V]` f32 of the rows from `start` on of a stream `[N, C]`, some at a time; each is freed after its turn. */
export async function* logitRows(
  anatomy: Anatomy,
  stream: Tensor,
): AsyncGenerator<{ start: number; rows: Tensor }> {
  const { model } = anatomy;
  const { size, logits } = anatomy.unembedding!;
  const [N, C] = stream.shape as [number, number];
  const step = Math.max(1, Math.floor(maxElements / size));
  for (let start = 0; start < N; start += step) {
    const n = Math.min(step, N - start);
    const part = () => reshape(toDevice(slice(stream, 0, start, start + n), model.device), [1, n, C]);
    using rows = undisturbed(model, () =>
      unscoped(() => scope(() => noGrad(() => asF32(reshape(logits(part()), [n, size]))))),
    );
    yield { start, rows };
  }
}

/** The log-odds of a token, of N, in every row of `stream [N, C]`. */
export async function streamLogOdds(
  anatomy: Anatomy,
  stream: Tensor,
  tokens: ArrayLike<number>,
): Promise<Float32Array> {
  const all = new Float32Array(stream.shape[0]!);
  for await (const { start, rows } of logitRows(anatomy, stream)) {
    const some = Array.from({ length: rows.shape[0]! }, (_, n) => tokens[start + n]!);
    all.set(await logOddsOf(rows, some), start);
  }
  return all;
}

/**
 * The token whose log-odds are asked for at each position: what the text says that comes, and where it doesn't say, the
 * most probable one.
 *
 * @param stream `[T, C]` as the last layer sends it
 * @param given  T tokens, in place of those of the text
 */
export async function comingTokens(
  anatomy: Anatomy,
  inputs: Inputs,
  stream: Tensor,
  given?: ArrayLike<number>,
): Promise<Int32Array> {
  const T = inputs.tokens.length;
  if (given !== undefined) {
    checkTokenIds("effects: tokens", given, anatomy.unembedding!.size);
    if (given.length !== T)
      throw new ArgumentError(`effects: tokens must be ${T}, one for each position; got ${given.length}`);
    return Int32Array.from(given);
  }
  const tokens = inputs.targets.slice(0, T);
  for (const [t, token] of tokens.entries()) {
    if (token >= 0) continue;
    for await (const { rows } of logitRows(anatomy, slice(stream, 0, t, t + 1))) {
      using best = unscoped(() => noGrad(() => argmax(rows, 1)));
      tokens[t] = await best.item();
    }
  }
  return tokens;
}
