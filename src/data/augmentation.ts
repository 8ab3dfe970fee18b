import { ArgumentError, checkInteger, checkNumber } from "../errors.ts";
import type { Random } from "../random.ts";
import { exampleRandom } from "./example-random.ts";

/** Which example is changed, in which pass over the data: each pass changes it otherwise. */
export interface AugmentedExample {
  index: number;
  epoch: number;
}

/**
 * One way to change a sequence of words, of token ids, or of whatever else: it gives a new one and draws what it needs
 * from `random`. `keep` says what must stay as it is and where it is.
 */
export type AugmentationStep<T> = (items: readonly T[], random: Random, keep: (item: T) => boolean) => T[];

/** What an item may be replaced by, in a map, or as a function of it; none if there is nothing. */
export type Synonyms<T> = ReadonlyMap<T, readonly T[]> | ((item: T) => readonly T[] | undefined);

export interface AugmentationOptions<T> {
  /** Integer from 0 to 2⁵³ - 1. */
  seed: number;
  /** Do "all" steps one after the other, or "one" of them, each as likely. Default "all". */
  pick?: "all" | "one";
  /** What is not to be changed, moved or lost: stop words, special tokens. Default nothing. */
  keep?: (item: T) => boolean;
}

/**
 * Changes the words, or the token ids, of an example; its label stays.
 *
 * ```ts
 * const augment = augmentation<string>([randomSwap(0.1), randomDeletion(0.1)], { seed: 1 });
 * const texts = data.map(({ text, label }, index) => {
 *   return { text: augment(text.split(" "), { index, epoch }).join(" "), label };
 * });
 * ```
 *
 * What comes out is a pure function of the seed, the epoch and the index of the example. Where each item has a label of
 * its own, items can be `{ token, label }`.
 *
 * @throws ERR_ARGUMENT on a bad option
 */
export function augmentation<T>(
  steps: readonly AugmentationStep<T>[],
  { seed, pick = "all", keep = () => false }: AugmentationOptions<T>,
): (items: ArrayLike<T>, example: AugmentedExample) => T[] {
  const name = "augmentation";
  if (!Array.isArray(steps) || steps.length === 0 || steps.some((step) => typeof step !== "function")) {
    throw new ArgumentError(
      `${name}: steps must be an array of at least one step; got ${String(steps) || "none"}`,
    );
  }
  checkInteger(`${name}: seed`, seed, 0);
  if (pick !== "all" && pick !== "one") {
    throw new ArgumentError(`${name}: pick must be all or one; got ${String(pick)}`);
  }
  return (items, { index, epoch }) => {
    if (typeof items !== "object" || items === null || !Number.isSafeInteger(items.length)) {
      throw new ArgumentError(
        `${name}: items must be an array of words or token ids (text.split(" ")); got ${items === null ? "null" : typeof items}`,
      );
    }
    const random = exampleRandom("augmentation", seed, epoch, index);
    const chosen = pick === "one" ? [steps[random.integer(steps.length)]!] : steps;
    return chosen.reduce<T[]>((now, step) => step(now, random, keep), Array.from(items));
  };
}

/** Of so many items, as Wei & Zou's code has it: the share, rounded down, but one at least unless the rate is 0. */
const countOf = (rate: number, items: number): number =>
  rate === 0 || items === 0 ? 0 : Math.max(1, Math.floor(rate * items));

/** Indices of items that may be changed. */
const freeOf = <T>(items: readonly T[], keep: (item: T) => boolean): number[] =>
  items.flatMap((item, i) => (keep(item) ? [] : [i]));

const drawn = <T>(random: Random, items: readonly T[]): T => items[random.integer(items.length)]!;

function lookup<T>(name: string, synonyms: Synonyms<T>): (item: T) => readonly T[] {
  if (typeof synonyms === "function") return (item) => synonyms(item) ?? [];
  if (synonyms instanceof Map) return (item) => synonyms.get(item) ?? [];
  throw new ArgumentError(`${name}: synonyms must be a Map or a function; got ${String(synonyms)}`);
}

/**
 * Replaces a share of the items, each by one of its synonyms. Those that have none are not among them.
 *
 * @param rate     share of all items, from 0 to 1; at least one is replaced
 * @param synonyms words of a dictionary, or the nearest in a table of embeddings: {@link embeddingNeighbors}
 */
export function synonymReplacement<T>(rate: number, synonyms: Synonyms<T>): AugmentationStep<T> {
  checkNumber("synonymReplacement: rate", rate, 0, 1);
  const synonymsOf = lookup("synonymReplacement", synonyms);
  return (items, random, keep) => {
    const result = [...items];
    let left = countOf(rate, items.length);
    for (const i of random.shuffle(freeOf(items, keep))) {
      if (left === 0) break;
      const others = synonymsOf(items[i]!);
      if (others.length === 0) continue;
      result[i] = drawn(random, others);
      left--;
    }
    return result;
  };
}

/**
 * Puts a synonym of a random item at a random place, as many times as is the share of the items. The items stay.
 *
 * @param rate share of all items, from 0 to 1; at least one is put in
 */
export function randomInsertion<T>(rate: number, synonyms: Synonyms<T>): AugmentationStep<T> {
  checkNumber("randomInsertion: rate", rate, 0, 1);
  const synonymsOf = lookup("randomInsertion", synonyms);
  return (items, random, keep) => {
    const result = [...items];
    const sources = freeOf(items, keep)
      .map((i) => synonymsOf(items[i]!))
      .filter((others) => others.length > 0);
    if (sources.length === 0) return result;
    for (let n = countOf(rate, items.length); n > 0; n--) {
      const item = drawn(random, drawn(random, sources));
      result.splice(random.integer(result.length + 1), 0, item);
    }
    return result;
  };
}

/**
 * Swaps two random items, as many times as is the share of the items.
 *
 * @param rate share of all items, from 0 to 1; there is at least one swap
 */
export function randomSwap<T>(rate: number): AugmentationStep<T> {
  checkNumber("randomSwap: rate", rate, 0, 1);
  return (items, random, keep) => {
    const result = [...items];
    const free = freeOf(items, keep); // what is kept stays in its place, so these stay those that may be swapped
    if (free.length < 2) return result;
    for (let n = countOf(rate, items.length); n > 0; n--) {
      const a = random.integer(free.length);
      const b = random.integer(free.length - 1);
      const [i, j] = [free[a]!, free[b < a ? b : b + 1]!];
      [result[i], result[j]] = [result[j]!, result[i]!];
    }
    return result;
  };
}

/**
 * Leaves out each item with a probability. If none would be left, one stays.
 *
 * @param probability from 0 to 1
 */
export function randomDeletion<T>(probability: number): AugmentationStep<T> {
  checkNumber("randomDeletion: probability", probability, 0, 1);
  return (items, random, keep) => {
    const result = items.filter((item) => keep(item) || random.uniform() >= probability);
    return result.length > 0 || items.length === 0 ? result : [drawn(random, items)];
  };
}

/**
 * Puts `mask` in place of each item with a probability. (For masked language modelling see maskedLanguageModeling.)
 *
 * @param probability from 0 to 1
 * @param mask        the id of [MASK], or a word that stands for an unknown one
 */
export function randomMasking<T>(probability: number, mask: T): AugmentationStep<T> {
  checkNumber("randomMasking: probability", probability, 0, 1);
  return (items, random, keep) =>
    items.map((item) => (!keep(item) && random.uniform() < probability ? mask : item));
}

export interface EasyDataAugmentationOptions<T> extends Omit<AugmentationOptions<T>, "pick"> {
  synonyms: Synonyms<T>;
  /** α: the share of words that is changed; the paper has 0.05 for small data sets. Default 0.1. */
  alpha?: number;
}

/**
 * EDA: each example gets one of synonym replacement, random insertion, random swap and random deletion, each as likely.
 * `keep` should say what stop words are.
 *
 * @returns as {@link augmentation}
 * @throws ERR_ARGUMENT on a bad option
 * @see Wei & Zou 2019, "EDA: Easy Data Augmentation Techniques for Boosting Performance on Text Classification Tasks"
 */
export function easyDataAugmentation<T>({
  synonyms,
  alpha = 0.1,
  ...options
}: EasyDataAugmentationOptions<T>): (items: ArrayLike<T>, example: AugmentedExample) => T[] {
  checkNumber("easyDataAugmentation: alpha", alpha, 0, 1);
  const steps = [
    synonymReplacement(alpha, synonyms),
    randomInsertion(alpha, synonyms),
    randomSwap<T>(alpha),
    randomDeletion<T>(alpha),
  ];
  return augmentation(steps, { ...options, pick: "one" });
}
