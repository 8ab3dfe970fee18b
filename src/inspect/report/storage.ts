import type { AttentionMap, Survey } from "../survey-types.ts";
import { topCount } from "./header.ts";
import type { Sections } from "./sections.ts";

/** Which heads a page holds whole, which on a grid, and of which of those the largest weights; [attention][head]. */
export type Plan = readonly (readonly HeadPlan[])[];
export type HeadPlan = "dense" | "pooled" | "pooled and top";

/** Rows and columns of the grid on which heads are pooled. */
export const poolSize = 128;
/** Heads that are held better than the others where a text is too long for all. */
const favored = 24;
/** From this length on no head is held whole. */
const longest = 1024;

/** The largest effect of a head on any prediction; where none was measured, how sharply it looks, which is always less. */
function importance(a: AttentionMap, effects: Float32Array | undefined, head: number): number {
  const { length: rows, keys } = a;
  const length = (effects?.length ?? 0) / a.heads;
  let most = 0;
  for (let t = 0; t < length; t++) {
    const effect = Math.abs(effects![head * length + t]!);
    if (effect > most) most = effect;
  }
  if (most > 0) return most;
  let peaks = 0;
  for (let i = 0; i < rows; i++) {
    let peak = 0;
    for (const w of a.weights.subarray((head * rows + i) * keys, (head * rows + i + 1) * keys)) {
      if (w > peak) peak = w;
    }
    peaks += peak;
  }
  return (1e-6 * peaks) / rows;
}

/**
 * The ways to hold the weights, from the most exact to the smallest: all whole; the most important 24 (12, 6) heads whole
 * and the others pooled; all pooled, with the largest weights in the rows of 24 heads; all pooled. From 1,024 tokens on
 * only the last two.
 */
export function* plans({ attentions, headEffects }: Survey): Generator<Plan> {
  const all = attentions.flatMap((a, at) => {
    const effects = headEffects?.parts.find(({ part }) => part === a.part)?.values;
    return Array.from({ length: a.heads }, (_, head) => ({ at, head, value: importance(a, effects, head) }));
  });
  all.sort((a, b) => b.value - a.value);
  const plan = (best: HeadPlan, count: number, rest: HeadPlan): Plan => {
    const chosen = new Set(all.slice(0, count).map(({ at, head }) => `${at}.${head}`));
    return attentions.map((a, at) =>
      Array.from({ length: a.heads }, (_, head) =>
        a.length <= poolSize && a.keys <= poolSize ? "dense" : chosen.has(`${at}.${head}`) ? best : rest,
      ),
    );
  };
  if (attentions.every((a) => a.length < longest && a.keys < longest)) {
    yield plan("dense", all.length, "dense");
    for (const count of [favored, favored / 2, favored / 4]) yield plan("dense", count, "pooled");
  }
  yield plan("pooled and top", favored, "pooled");
  yield plan("pooled", 0, "pooled");
}

export const headsOf = (plans: readonly HeadPlan[], ...which: HeadPlan[]): number[] =>
  plans.flatMap((plan, head) => (which.includes(plan) ? [head] : []));

/** Writes the weights of one attention as `plan` says. */
export function store(sections: Sections, name: string, a: AttentionMap, plan: readonly HeadPlan[]): void {
  const { length: to, keys: from } = a;
  const of = (head: number) => a.weights.subarray(head * to * from, (head + 1) * to * from);
  const dense = headsOf(plan, "dense");
  if (dense.length > 0) {
    const size = a.causal ? (to * (to + 1)) / 2 : to * from;
    const values = new Float32Array(dense.length * size);
    dense.forEach((head, k) => fold(of(head), to, from, a.causal, values.subarray(k * size)));
    sections.sqrt8(`${name}.dense`, [dense.length, size], values);
  }
  const pooled = headsOf(plan, "pooled", "pooled and top");
  if (pooled.length > 0) {
    const [rows, columns] = [Math.min(poolSize, to), Math.min(poolSize, from)];
    const size = a.causal ? (rows * (rows + 1)) / 2 : rows * columns;
    const values = new Float32Array(pooled.length * size);
    pooled.forEach((head, k) => {
      fold(pool(of(head), to, from, rows, columns), rows, columns, a.causal, values.subarray(k * size));
    });
    sections.sqrt8(`${name}.pooled`, [pooled.length, size], values);
  }
  const top = headsOf(plan, "pooled and top");
  if (top.length > 0) {
    const columns = new Uint16Array(top.length * to * topCount);
    const weights = new Float32Array(columns.length);
    top.forEach((head, k) => {
      for (let i = 0; i < to; i++) {
        const row = of(head).subarray(i * from, (i + 1) * from);
        largestOf(row).forEach((j, n) => {
          columns[(k * to + i) * topCount + n] = j;
          weights[(k * to + i) * topCount + n] = row[j]!;
        });
      }
    });
    sections.integers(`${name}.top.columns`, [top.length, to, topCount], columns);
    sections.sqrt8(`${name}.top.weights`, [top.length, to, topCount], weights);
  }
}

/** The rectangle, or its lower triangle row by row where the rest is zero. */
function fold(
  values: Float32Array,
  rows: number,
  columns: number,
  causal: boolean,
  into: Float32Array,
): void {
  if (!causal) {
    into.set(values.subarray(0, rows * columns));
    return;
  }
  let at = 0;
  for (let i = 0; i < rows; i++) {
    into.set(values.subarray(i * columns, i * columns + i + 1), at);
    at += i + 1;
  }
}

/** The largest of each cell of a grid: a single spike survives. Cell r covers rows [⌊r·to/rows⌋, ⌊(r+1)·to/rows⌋). */
function pool(values: Float32Array, to: number, from: number, rows: number, columns: number): Float32Array {
  const out = new Float32Array(rows * columns);
  const columnOf = Uint16Array.from({ length: from }, (_, j) => Math.floor(((j + 1) * columns - 1) / from));
  for (let i = 0; i < to; i++) {
    const base = Math.floor(((i + 1) * rows - 1) / to) * columns;
    for (let j = 0; j < from; j++) {
      const value = values[i * from + j]!;
      const at = base + columnOf[j]!;
      if (value > out[at]!) out[at] = value;
    }
  }
  return out;
}

/** Places of the `topCount` largest, largest first. */
function largestOf(row: Float32Array): number[] {
  const best: number[] = [];
  for (let j = 0; j < row.length; j++) {
    if (row[j]! <= 0 || (best.length === topCount && row[j]! <= row[best[topCount - 1]!]!)) continue;
    let place = best.length;
    while (place > 0 && row[best[place - 1]!]! < row[j]!) place--;
    best.splice(place, 0, j);
    if (best.length > topCount) best.pop();
  }
  return best;
}
