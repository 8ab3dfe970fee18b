import { ArgumentError } from "../errors.ts";

/** Which tokens are cut off where a row is too long; as in Hugging Face's libraries. */
export type Truncation = "longestFirst" | "onlyFirst" | "onlySecond" | "doNotTruncate";

/** The tokens of a text, or of a text pair with special tokens. Entry i of each list belongs to token i. */
export interface Encoding {
  readonly ids: number[];
  /** Where the token's text begins and ends in the original text, in UTF-16 units; −1 for special tokens. */
  readonly starts: number[];
  readonly ends: number[];
  /** 0 or 1, which of the texts of a pair; −1 for special tokens. */
  readonly sequence: number[];
  /** What BERT calls segments. */
  readonly typeIds: number[];
}

export const emptyEncoding = (): Encoding => ({ ids: [], starts: [], ends: [], sequence: [], typeIds: [] });

const part = ({ ids, starts, ends, sequence, typeIds }: Encoding, from: number, to: number): Encoding => ({
  ids: ids.slice(from, to),
  starts: starts.slice(from, to),
  ends: ends.slice(from, to),
  sequence: sequence.slice(from, to),
  typeIds: typeIds.slice(from, to),
});

/** Parts of at most `length` tokens, of which each shares `stride` with the one before; the first is what is kept. */
function partsOf(encoding: Encoding, length: number, stride: number, isLeft: boolean): Encoding[] {
  const count = encoding.ids.length;
  if (length >= count) return [encoding];
  if (length === 0) return [emptyEncoding(), encoding];
  const parts: Encoding[] = [];
  for (let done = 0; done < count; done += length - stride) {
    const [from, to] = [done, Math.min(done + length, count)];
    parts.push(isLeft ? part(encoding, count - to, count - from) : part(encoding, from, to));
    if (to === count) break;
  }
  return parts;
}

/** How many tokens each of two texts keeps when the longer gives way first. */
function longestFirst(first: number, second: number, max: number): [number, number] {
  let [short, long] = first > second ? [second, first] : [first, second];
  long = short > max ? short : Math.max(short, max - short);
  if (short + long > max) [short, long] = [Math.floor(max / 2), Math.ceil(max / 2)];
  return first > second ? [long, short] : [short, long];
}

export interface TruncationOptions {
  readonly truncation: Truncation;
  /** Most tokens of a row, the special ones not counted. */
  readonly max: number;
  /** How many tokens the next part of a text shares with the one before. */
  readonly stride: number;
  readonly isLeft: boolean;
}

/**
 * One or two texts cut so that together they have at most `max` tokens: what is kept first, and then the combinations
 * with what was cut off.
 *
 * @throws ArgumentError where `onlySecond` has no second text, where the text to be cut is too short, and where parts
 *   would be no longer than what they share
 */
export function truncate(texts: readonly Encoding[], options: TruncationOptions, name: string): Encoding[][] {
  const { truncation, max, stride, isLeft } = options;
  const total = texts.reduce((sum, { ids }) => sum + ids.length, 0);
  if (truncation === "doNotTruncate" || total <= max) return [[...texts]];
  const cut = (encoding: Encoding, length: number): Encoding[] => {
    if (length > 0 && length < encoding.ids.length && stride >= length) {
      throw new ArgumentError(
        `${name}: stride must be less than the ${length} tokens of a part; got ${stride}`,
      );
    }
    return partsOf(encoding, length, stride, isLeft);
  };
  const [first, second] = texts as [Encoding, Encoding?];
  if (truncation === "onlySecond" && !second) {
    throw new ArgumentError(`${name}: truncation must be other than "onlySecond" for a single text`);
  }
  if (truncation === "longestFirst" && second) {
    const [keepFirst, keepSecond] = longestFirst(first.ids.length, second.ids.length, Math.max(max, 0));
    const [firsts, seconds] = [cut(first, keepFirst), cut(second, keepSecond)];
    const rest = firsts.slice(1).flatMap((part) => seconds.map((other) => [part, other]));
    return [[firsts[0]!, seconds[0]!], ...rest, ...seconds.slice(1).map((other) => [firsts[0]!, other])];
  }
  const target = truncation === "onlySecond" ? second! : first;
  const left = target.ids.length - (total - max);
  if (left < 0 || (left === 0 && second)) {
    const which = truncation === "longestFirst" ? "maxLength" : `maxLength for truncation "${truncation}"`;
    throw new ArgumentError(
      `${name}: ${which} leaves no room for the text, which has ${target.ids.length} tokens`,
    );
  }
  const parts = cut(target, left);
  if (!second) return parts.map((part) => [part]);
  return parts.map((part) => (target === first ? [part, second] : [first, part]));
}
