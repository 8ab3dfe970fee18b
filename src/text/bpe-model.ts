import type { Fields } from "./fields.ts";
import { PairTable } from "./pair-table.ts";
import { Vocabulary } from "./vocabulary.ts";
import { unknownId, type WordModel, type WordTokens } from "./word-model.ts";

/** Reads the pairs of `merges`: `["a", "b"]`, or `"a b"` in old files. */
function* mergesOf(config: Fields): Generator<[left: string, right: string]> {
  for (const merge of config.list("merges")) {
    const parts = typeof merge === "string" ? merge.split(" ") : merge;
    if (!Array.isArray(parts) || parts.length !== 2 || !parts.every((part) => typeof part === "string")) {
      throw config.error("merges", "a list of pairs of tokens", merge);
    }
    yield parts as [string, string];
  }
}

/** A heap of places with their ranks: the lowest rank first, of equal ones the leftmost place. */
class MergeQueue {
  readonly #ranks: number[] = [];
  readonly #places: number[] = [];

  get size(): number {
    return this.#ranks.length;
  }

  push(rank: number, place: number): void {
    let i = this.size;
    for (let parent = (i - 1) >> 1; i > 0 && this.#isBefore(rank, place, parent); parent = (i - 1) >> 1) {
      this.#ranks[i] = this.#ranks[parent]!;
      this.#places[i] = this.#places[parent]!;
      i = parent;
    }
    this.#ranks[i] = rank;
    this.#places[i] = place;
  }

  pop(): [rank: number, place: number] {
    const top: [number, number] = [this.#ranks[0]!, this.#places[0]!];
    const rank = this.#ranks.pop()!;
    const place = this.#places.pop()!;
    const size = this.size;
    let i = 0;
    for (let child = 1; child < size; child = 2 * i + 1) {
      if (child + 1 < size && this.#isBefore(this.#ranks[child + 1]!, this.#places[child + 1]!, child))
        child++;
      if (this.#isBefore(rank, place, child)) break;
      this.#ranks[i] = this.#ranks[child]!;
      this.#places[i] = this.#places[child]!;
      i = child;
    }
    if (size > 0) {
      this.#ranks[i] = rank;
      this.#places[i] = place;
    }
    return top;
  }

  #isBefore(rank: number, place: number, i: number): boolean {
    return rank < this.#ranks[i]! || (rank === this.#ranks[i]! && place < this.#places[i]!);
  }
}

/**
 * Byte pair encoding: of the pairs of neighbours the one that was learnt first is joined, until none is known.
 *
 * @see Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units"
 */
export function bpeModel(config: Fields): WordModel {
  const vocabulary = Vocabulary.fromFields(config.object("vocab"));
  const unknown = config.optionalString("unk_token");
  const prefix = config.string("continuing_subword_prefix", "");
  const suffix = config.string("end_of_word_suffix", "");
  const fusesUnknown = config.boolean("fuse_unk", false);
  const hasByteTokens = config.boolean("byte_fallback", false);
  const ignoresMerges = config.boolean("ignore_merges", false);
  const dropout = config.get("dropout") ?? 0;
  if (dropout !== 0) throw config.error("dropout", "null or 0: merges are not left out at random");

  const merges = config.list("merges").length;
  const ranks = new PairTable(merges);
  const mergedIds = new Int32Array(merges);
  let rank = 0;
  for (const [left, right] of mergesOf(config)) {
    const merged = left + (prefix !== "" && right.startsWith(prefix) ? right.slice(prefix.length) : right);
    const ids = [left, right, merged].map((token) => vocabulary.id(token));
    const missing = [left, right, merged][ids.indexOf(undefined)];
    if (missing !== undefined) throw config.error("merges", "of tokens of the vocabulary", missing);
    ranks.set(ids[0]!, ids[1]!, rank);
    mergedIds[rank++] = ids[2]!;
  }

  /** The ids of the bytes of `character`, if the vocabulary has them all. */
  const byteTokens = (character: string): number[] | undefined => {
    const ids: number[] = [];
    for (const byte of Buffer.from(character)) {
      const id = vocabulary.id(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
      if (id === undefined) return undefined;
      ids.push(id);
    }
    return ids;
  };

  /** The tokens of the single characters. */
  const characters = (word: string): WordTokens => {
    const [ids, starts, ends]: [number[], number[], number[]] = [[], [], []];
    const add = (id: number, start: number, end: number) => {
      ids.push(id);
      starts.push(start);
      ends.push(end);
    };
    let unknownStart = -1; // of the unknown token that is not added yet
    let start = 0;
    for (const character of word) {
      const end = start + character.length;
      const token = (start > 0 ? prefix : "") + character + (end === word.length ? suffix : "");
      const id = vocabulary.id(token);
      const fallback = id === undefined && hasByteTokens ? byteTokens(token) : undefined;
      const isUnknown = id === undefined && !fallback;
      if (unknownStart >= 0 && !(isUnknown && fusesUnknown)) {
        add(unknownId(vocabulary, unknown, word), unknownStart, start);
        unknownStart = -1;
      }
      if (id !== undefined) add(id, start, end);
      else if (fallback) for (const byte of fallback) add(byte, start, end);
      else if (unknown !== undefined && unknownStart < 0) unknownStart = start;
      start = end;
    }
    if (unknownStart >= 0) add(unknownId(vocabulary, unknown, word), unknownStart, start);
    return { ids, starts, ends };
  };

  const merge = ({ ids, starts, ends }: WordTokens): WordTokens => {
    const count = ids.length;
    const next = Int32Array.from({ length: count }, (_, i) => (i + 1 < count ? i + 1 : -1));
    const previous = Int32Array.from({ length: count }, (_, i) => i - 1);
    const isGone = new Uint8Array(count);
    const queue = new MergeQueue();
    const consider = (left: number) => {
      const pairRank = ranks.get(ids[left]!, ids[next[left]!]!);
      if (pairRank >= 0) queue.push(pairRank, left);
    };
    for (let i = 0; i + 1 < count; i++) consider(i);
    while (queue.size > 0) {
      const [pairRank, left] = queue.pop();
      const right = next[left]!;
      if (isGone[left] || right < 0) continue;
      const present = ranks.get(ids[left]!, ids[right]!);
      if (present < 0 || mergedIds[present] !== mergedIds[pairRank]) continue; // joined with another since
      ids[left] = mergedIds[pairRank]!;
      ends[left] = ends[right]!;
      isGone[right] = 1;
      next[left] = next[right]!;
      if (next[left]! >= 0) {
        previous[next[left]!] = left;
        consider(left);
      }
      if (previous[left]! >= 0) consider(previous[left]!);
    }
    const isLeft = (_: number, i: number) => !isGone[i];
    return { ids: ids.filter(isLeft), starts: starts.filter(isLeft), ends: ends.filter(isLeft) };
  };

  return {
    vocabulary,
    ...(unknown === undefined ? {} : { unknown }),
    tokens: (word) => {
      const whole = ignoresMerges ? vocabulary.id(word) : undefined;
      if (whole !== undefined) return { ids: [whole], starts: [0], ends: [word.length] };
      return merge(characters(word));
    },
  };
}
