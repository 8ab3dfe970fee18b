/** What a head does on a text, by a rule. */
export interface HeadKind {
  readonly kind:
    | "previous token"
    | "itself"
    | "first token"
    | "after earlier copy"
    | "earlier copy"
    | "two tokens back"
    | "three tokens back"
    | "next token" // of an encoder
    | "same place" // of cross-attention: position i of the other text
    | "last token" // of cross-attention
    | "broad";
  /** Share of its attention that goes there, from 0 to 1. */
  readonly share: number;
}

/** From which share on a head is called so. */
const threshold = 0.3;

/** A kind, the share of attention that goes there, and the share that attention to everything alike would have there. */
type Candidate = readonly [kind: HeadKind["kind"], share: number, chance?: number];

function largestOf(candidates: readonly Candidate[]): HeadKind {
  const largest = (of: readonly Candidate[]) =>
    of.reduce((best, other) => (other[1] > best[1] ? other : best));
  const sure = candidates.filter(([, share, chance = 0]) => share > threshold + chance);
  const [kind, share] = largest(sure.length > 0 ? sure : candidates);
  return { kind: sure.length > 0 ? kind : "broad", share };
}

/**
 * Names a head of self-attention by where its attention goes: the largest of these shares, if that is above 0.3. Shares
 * of copies are taken over the positions that have an earlier one of the same token; they must be as much above what even
 * attention to all up to there would give them, as characters have many copies.
 *
 * @param weights `[T, T]` of one head
 * @param ids     the T tokens
 * @see Olsson et al. 2022, "In-context Learning and Induction Heads" ("after earlier copy")
 */
export function headKind(weights: Float32Array, ids: ArrayLike<number>): HeadKind {
  const T = ids.length;
  const at = (i: number, j: number) => weights[i * T + j]!;
  /** Of the token so many places before, over the positions that have one. */
  const before = (places: number): number => {
    let share = 0;
    for (let i = Math.max(0, places); i < T + Math.min(0, places); i++) share += at(i, i - places);
    return share / Math.max(1, T - Math.abs(places));
  };
  let [self, first, after, copy, copies, chance] = [0, 0, 0, 0, 0, 0];
  const places = new Map<number, number[]>([[ids[0]!, [0]]]);
  for (let i = 1; i < T; i++) {
    self += at(i, i);
    first += at(i, 0);
    const earlier = places.get(ids[i]!);
    if (earlier === undefined) {
      places.set(ids[i]!, [i]);
      continue;
    }
    copies++;
    chance += earlier.length / (i + 1);
    for (const j of earlier) {
      copy += at(i, j);
      if (j + 1 < i) after += at(i, j + 1);
    }
    earlier.push(i);
  }
  const [all, some] = [Math.max(1, T - 1), Math.max(1, copies)];
  return largestOf([
    ["previous token", before(1)],
    ["itself", self / all],
    ["first token", first / all],
    ["after earlier copy", after / some, chance / some],
    ["earlier copy", copy / some, chance / some],
    ["two tokens back", before(2)],
    ["three tokens back", before(3)],
    ["next token", before(-1)],
  ]);
}

/** The same of a head of cross-attention, `weights [T, S]`. */
export function crossHeadKind(weights: Float32Array, T: number, S: number): HeadKind {
  let [same, first, last] = [0, 0, 0];
  for (let i = 0; i < T; i++) {
    same += i < S ? weights[i * S + i]! : 0;
    first += weights[i * S]!;
    last += weights[i * S + S - 1]!;
  }
  return largestOf([
    ["same place", same / T],
    ["first token", first / T],
    ["last token", last / T],
  ]);
}
