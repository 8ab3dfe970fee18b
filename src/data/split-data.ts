import { createHash } from "node:crypto";
import { ArgumentError, checkInteger, checkNumber } from "../errors.ts";
import { Random } from "../random.ts";

/** What an item shares with others that must be on its side: an author, a document, the text of a duplicate. */
export type GroupKey = string | number;

export interface SplitDataOptions<T, Part extends string> {
  /** The share of each part; they add up to 1. Give this or `sizes`. */
  fractions?: Readonly<Record<Part, number>>;
  /** The number of items of each part; `Infinity`, of one part, is the rest. */
  sizes?: Readonly<Record<Part, number>>;
  /** Integer from 0 to 2⁵³ - 1: which items go where. */
  seed: number;
  /**
   * The group of an item, or several: items with a key in common, directly or through others, are never in two parts.
   * Default: every item is a group of its own.
   */
  groupBy?: (item: T, index: number) => GroupKey | readonly GroupKey[];
}

/**
 * The items in parts that share no group, each in its order of before. No item is lost.
 *
 * The groups are shuffled, and each goes to the part that lacks most items. Sizes are exact without `groupBy`; with it
 * they are met as nearly as the groups allow.
 *
 * ```ts
 * const { train, heldOut } = splitData(reviews, {
 *   fractions: { train: 0.9, heldOut: 0.1 },
 *   seed: 1,
 *   groupBy: ({ author, text }) => [`author ${author}`, `text ${duplicateKey(text)}`],
 * });
 * ```
 *
 * @throws ArgumentError on bad fractions or sizes, and if there are fewer groups than parts
 */
export function splitData<T, Part extends string>(
  items: readonly T[],
  { fractions, sizes, seed, groupBy }: SplitDataOptions<T, Part>,
): Record<Part, T[]> {
  if (!Array.isArray(items))
    throw new ArgumentError(`splitData: items must be an array; got ${String(items)}`);
  if ((fractions === undefined) === (sizes === undefined)) {
    throw new ArgumentError(
      `splitData: give either fractions or sizes; got ${fractions === undefined ? "neither" : "both"}`,
    );
  }
  const random = new Random(checkInteger("splitData: seed", seed, 0));
  const lacks = sizes ? checkedSizes(sizes, items.length) : sizesOf(fractions!, items.length);
  const parts = [...lacks.keys()];
  const groups = groupsOf(items, groupBy);
  const filled = parts.filter((part) => lacks.get(part)! > 0);
  if (groups.length < filled.length) {
    throw new ArgumentError(
      `splitData: ${filled.length} parts need as many groups; got ${groups.length}, of ${items.length} items`,
    );
  }

  const partOfItem: Part[] = new Array(items.length);
  const empty = new Set(filled);
  random.shuffle(groups).forEach((group, i) => {
    // The last groups go to the parts that have none.
    const candidates = groups.length - i <= empty.size ? empty : parts;
    let most: Part | undefined;
    for (const part of candidates) if (most === undefined || lacks.get(part)! > lacks.get(most)!) most = part;
    for (const item of group) partOfItem[item] = most!;
    lacks.set(most!, lacks.get(most!)! - group.length);
    empty.delete(most!);
  });
  return Object.fromEntries(
    parts.map((part) => [part, items.filter((_, i) => partOfItem[i] === part)]),
  ) as Record<Part, T[]>;
}

/**
 * The part that a key belongs to, by its hash alone: it stays the same when other data comes or goes, on any machine and
 * in any order, which suits streams and data that grows.
 *
 * ```ts
 * const fractions = { train: 0.9, heldOut: 0.1 };
 * const train = readJSONLines("reviews.jsonl").filter(({ author }) => partOf(author, { fractions, seed: 1 }) === "train");
 * ```
 *
 * @param key what must not be on two sides: a document's name, an author, `duplicateKey(text)`
 * @returns   each part with the probability of its fraction
 */
export function partOf<Part extends string>(
  key: GroupKey,
  { fractions, seed }: { fractions: Readonly<Record<Part, number>>; seed: number },
): Part {
  checkFractions("partOf", fractions);
  checkInteger("partOf: seed", seed, 0);
  if (typeof key !== "string" && typeof key !== "number") {
    throw new ArgumentError(`partOf: key must be a string or a number; got ${String(key)}`);
  }
  const hash = createHash("sha256").update(`${seed}\0${key}`).digest();
  const place = hash.readUIntBE(0, 6) * 2 ** -48;
  const parts = (Object.keys(fractions) as Part[]).filter((part) => fractions[part] > 0);
  let upTo = 0;
  return parts.find((part) => place < (upTo += fractions[part])) ?? parts.at(-1)!;
}

/**
 * The same for texts that differ only in case, accents' encoding, punctuation, symbols and white space: their letters
 * and digits in NFKC. For texts without any, the text itself.
 */
export function duplicateKey(text: string): string {
  if (typeof text !== "string")
    throw new ArgumentError(`duplicateKey: text must be a string; got ${String(text)}`);
  const letters = text
    .normalize("NFKC")
    .toLowerCase()
    .replace(/[^\p{L}\p{M}\p{N}]+/gu, " ")
    .trim();
  return letters === "" ? text : letters;
}

function checkFractions(name: string, fractions: Readonly<Record<string, number>>): void {
  const entries = Object.entries(fractions ?? {});
  let sum = 0;
  for (const [part, fraction] of entries) sum += checkNumber(`${name}: fractions.${part}`, fraction, 0, 1);
  if (Math.abs(sum - 1) > 1e-9) {
    throw new ArgumentError(`${name}: fractions must add up to 1; got ${sum}`);
  }
}

/** `fractions` of `total`, rounded so that they add up: the largest remainders are rounded up (Hamilton's method). */
function sizesOf<Part extends string>(
  fractions: Readonly<Record<Part, number>>,
  total: number,
): Map<Part, number> {
  checkFractions("splitData", fractions);
  const parts = Object.keys(fractions) as Part[];
  const sizes = new Map(parts.map((part) => [part, Math.floor(fractions[part] * total + 1e-9)]));
  const remainder = (part: Part) => fractions[part] * total - sizes.get(part)!;
  const missing = total - [...sizes.values()].reduce((sum, size) => sum + size, 0);
  const byRemainder = [...parts].sort((a, b) => remainder(b) - remainder(a));
  for (const part of byRemainder.slice(0, missing)) sizes.set(part, sizes.get(part)! + 1);
  return sizes;
}

function checkedSizes<Part extends string>(
  sizes: Readonly<Record<Part, number>>,
  total: number,
): Map<Part, number> {
  const entries = Object.entries(sizes) as [Part, number][];
  let rest = total;
  for (const [part, size] of entries) {
    if (size !== Infinity) rest -= checkInteger(`splitData: sizes.${part}`, size, 0, total);
  }
  const open = entries.filter(([, size]) => size === Infinity);
  if (open.length > 1 || rest < 0 || (open.length === 0 && rest > 0)) {
    const came = entries.map(([part, size]) => `${part} ${size}`).join(", ");
    throw new ArgumentError(
      `splitData: sizes must add up to the ${total} items, with Infinity for at most one; got ${came}`,
    );
  }
  return new Map(entries.map(([part, size]) => [part, size === Infinity ? rest : size]));
}

/** The indices of the items of each group: the connected components of the graph of items and keys (union-find). */
function groupsOf<T>(items: readonly T[], groupBy: SplitDataOptions<T, string>["groupBy"]): number[][] {
  if (groupBy === undefined) return items.map((_, i) => [i]);
  const parent = Int32Array.from(items, (_, i) => i);
  const rootOf = (i: number): number => {
    while (parent[i] !== i) i = parent[i] = parent[parent[i]!]!;
    return i;
  };
  const first = new Map<GroupKey, number>();
  items.forEach((item, i) => {
    const keys = groupBy(item, i);
    for (const key of Array.isArray(keys) ? keys : [keys]) {
      if (typeof key !== "string" && typeof key !== "number") {
        throw new ArgumentError(
          `splitData: groupBy must give strings or numbers; got ${String(key)} for item ${i}`,
        );
      }
      const other = first.get(key);
      if (other === undefined) first.set(key, i);
      else parent[rootOf(i)] = rootOf(other);
    }
  });
  const groups = new Map<number, number[]>();
  items.forEach((_, i) => {
    const root = rootOf(i);
    const group = groups.get(root);
    if (group) group.push(i);
    else groups.set(root, [i]);
  });
  return [...groups.values()];
}
