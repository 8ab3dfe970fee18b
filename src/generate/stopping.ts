import { ArgumentError } from "../errors.ts";
import type { GenerationTokenizer, StoppingCriterion } from "./decoding.ts";
import type { ResolvedConfig } from "./generation-config.ts";

/** Whether a row is complete with its last token, by any of the options and the caller's own criteria. */
export function stoppingOf(
  config: ResolvedConfig,
  own: readonly StoppingCriterion[],
  tokenizer: GenerationTokenizer | undefined,
): StoppingCriterion {
  const { maxTime, stopStrings, eosTokenIds } = config;
  const criteria: StoppingCriterion[] = [
    (ids, row) => ids.length >= row.maxLength,
    (ids) => eosTokenIds.includes(ids[ids.length - 1]!),
  ];
  if (maxTime !== null) {
    const end_ms = performance.now() + 1000 * maxTime;
    criteria.push(() => performance.now() > end_ms);
  }
  if (stopStrings !== null) {
    if (tokenizer === undefined) throw new ArgumentError("generate: stopStrings needs a tokenizer; got none");
    const strings = typeof stopStrings === "string" ? [stopStrings] : stopStrings;
    criteria.push((ids) => endsIn(ids, strings, tokenizer));
  }
  criteria.push(...own);
  return (ids, row) => criteria.some((isComplete) => isComplete(ids, row));
}

/** Whether the last token completes one of the strings: its end lies in what that token has added to the text. */
function endsIn(ids: Int32Array, strings: readonly string[], tokenizer: GenerationTokenizer): boolean {
  const longest = Math.max(...strings.map((s) => Buffer.byteLength(s)));
  const tail = ids.subarray(Math.max(0, ids.length - longest - 1)); // a token is at least a byte
  const text = tokenizer.decode(tail, { skipSpecialTokens: false });
  const before = tokenizer.decode(tail.subarray(0, -1), { skipSpecialTokens: false });
  let old = 0;
  while (old < before.length && before[old] === text[old]) old++;
  return strings.some((s) => text.indexOf(s, Math.max(0, old - s.length + 1)) >= 0);
}
