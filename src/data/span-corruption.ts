import { ArgumentError, checkInteger, checkNumber } from "../errors.ts";
import type { Random } from "../random.ts";
import { exampleRandom } from "./example-random.ts";
import { checkTokenIds } from "./token-ids.ts";

export interface SpanOptions {
  /** The share of the tokens that are taken out. Default 0.15. */
  noiseDensity?: number;
  /** The mean length of what is taken out at a place, in tokens. Default 3. */
  meanNoiseSpanLength?: number;
}

export interface SpanCorruptionOptions extends SpanOptions {
  /** The id of the first sentinel, `<extra_id_0>`: 32099 for T5. Those that follow have the ids below it. */
  firstSentinelId: number;
  /** How many sentinels there are. Default 100. */
  sentinelCount?: number;
  /** The token at the end of inputs and labels: 1 for T5. */
  eosTokenId: number;
  /** Integer from 0 to 2⁵³ - 1. */
  seed: number;
}

/** What the encoder reads and what the decoder is to write. */
export interface CorruptedTokens {
  inputIds: Int32Array;
  labels: Int32Array;
}

/**
 * The task that T5 is pretrained on: spans of tokens are taken out, a sentinel stands in the input for each, and the
 * labels name each sentinel and what it stands for.
 *
 * ```
 * Thank you for inviting me to your party last week .
 * inputs   Thank you <extra_id_0> me to your party <extra_id_1> week . </s>
 * labels   <extra_id_0> for inviting <extra_id_1> last </s>
 * ```
 *
 * Of L tokens, `round(noiseDensity · L)` are taken out, in `round(that / meanNoiseSpanLength)` spans; their lengths, and
 * those of what is left between them, are uniformly random. A text begins with what is left and ends with a span. The
 * spans are a pure function of the seed, the epoch and the index of the example.
 *
 * @returns a function of token ids without special tokens, at least two, whose example has `index` and `epoch` from 0
 * @throws ArgumentError on a bad option; the function, on too few tokens and on more spans than sentinels
 * @see Raffel et al. 2020, "Exploring the Limits of Transfer Learning", 3.1.4, and T5's `random_spans_noise_mask`
 */
export function spanCorruption(
  options: SpanCorruptionOptions,
): (ids: ArrayLike<number>, example: { index: number; epoch: number }) => CorruptedTokens {
  const { firstSentinelId, sentinelCount = 100, eosTokenId, seed } = options;
  const name = "spanCorruption";
  checkInteger(`${name}: sentinelCount`, sentinelCount, 1);
  checkInteger(`${name}: firstSentinelId`, firstSentinelId, sentinelCount - 1, 2 ** 31 - 1);
  checkInteger(`${name}: eosTokenId`, eosTokenId, 0, 2 ** 31 - 1);
  checkInteger(`${name}: seed`, seed, 0);
  const shares = checkShares(name, options);

  return (ids, { index, epoch }) => {
    checkTokenIds(`${name}: ids`, ids);
    const length = checkInteger(`${name}: ids.length`, ids.length, 2);
    const random = exampleRandom("spans", seed, epoch, index);
    const { noise, spans } = countsOf(length, shares);
    if (spans > sentinelCount) {
      throw new ArgumentError(
        `${name}: ${length} tokens have ${spans} spans; there are ${sentinelCount} sentinels`,
      );
    }
    const left = segmentLengths(length - noise, spans, random);
    const taken = segmentLengths(noise, spans, random);
    const inputIds: number[] = [];
    const labels: number[] = [];
    let at = 0;
    const move = (count: number, to: number[]): void => {
      for (const end = at + count; at < end; at++) to.push(ids[at]!);
    };
    for (let span = 0; span < spans; span++) {
      move(left[span]!, inputIds);
      inputIds.push(firstSentinelId - span);
      labels.push(firstSentinelId - span);
      move(taken[span]!, labels);
    }
    inputIds.push(eosTokenId);
    labels.push(eosTokenId);
    return { inputIds: Int32Array.from(inputIds), labels: Int32Array.from(labels) };
  };
}

/**
 * How many tokens of text make inputs of at most `inputLength`, sentinels and end included, and how long their labels
 * are: 568 and 114 for 512.
 *
 * @throws ArgumentError on a bad option, and if not even two tokens fit
 * @see T5's `random_spans_helper`
 */
export function spanCorruptionLengths({ inputLength, ...options }: SpanOptions & { inputLength: number }): {
  rawLength: number;
  targetLength: number;
} {
  const name = "spanCorruptionLengths";
  checkInteger(`${name}: inputLength`, inputLength, 3, 2 ** 31 - 1);
  const shares = checkShares(name, options);
  const lengthsOf = (length: number) => {
    const { noise, spans } = countsOf(length, shares);
    return { input: length - noise + spans + 1, target: noise + spans + 1 };
  };
  let rawLength = Math.max(2, inputLength);
  while (rawLength > 2 && lengthsOf(rawLength).input > inputLength) rawLength--;
  while (lengthsOf(rawLength + 1).input <= inputLength) rawLength++;
  return { rawLength, targetLength: lengthsOf(rawLength).target };
}

function checkShares(
  name: string,
  { noiseDensity = 0.15, meanNoiseSpanLength = 3 }: SpanOptions,
): Required<SpanOptions> {
  checkNumber(`${name}: noiseDensity`, noiseDensity, 0, 1);
  checkNumber(`${name}: meanNoiseSpanLength`, meanNoiseSpanLength, 1);
  if (noiseDensity === 0 || noiseDensity === 1) {
    throw new ArgumentError(`${name}: noiseDensity must be between 0 and 1; got ${noiseDensity}`);
  }
  return { noiseDensity, meanNoiseSpanLength };
}

/** Tokens to take out and the number of spans: at least one of each, and a token is left before every span. */
function countsOf(length: number, { noiseDensity, meanNoiseSpanLength }: Required<SpanOptions>) {
  const noise = Math.min(Math.max(roundHalfEven(length * noiseDensity), 1), length - 1);
  const spans = Math.max(1, roundHalfEven(noise / meanNoiseSpanLength));
  return { noise, spans: Math.min(spans, noise, length - noise) };
}

/** The nearest integer, the even one of two that are equally near, as Python and TensorFlow round. */
function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** `total` as a sum of `count` positive integers, each such sum as likely as any other. */
function segmentLengths(total: number, count: number, random: Random): number[] {
  const begins = new Uint8Array(total - 1).fill(1, 0, count - 1);
  random.shuffle(begins);
  const lengths = [1];
  for (const isBegin of begins) {
    if (isBegin) lengths.push(1);
    else lengths[lengths.length - 1]!++;
  }
  return lengths;
}
