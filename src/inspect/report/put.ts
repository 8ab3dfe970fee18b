import type { Survey } from "../survey-types.ts";
import type { Token } from "../types.ts";
import { numbersPerMessage, type Write } from "./header.ts";
import { largest, type Sections } from "./sections.ts";

/** Messages of a prediction that a page holds. */
const messagesKept = 48;

/** What tokens look like, each once. */
export class Strings {
  readonly list: string[] = [];
  private readonly places = new Map<string, number>();
  private readonly known: Readonly<Record<number, string>>;

  constructor(survey: Survey) {
    this.known = survey.strings;
  }

  /** A token of a text: what it adds to it, which can be less than what it looks like alone. */
  ofToken({ id, text }: Token): number {
    return this.place(id, text);
  }

  /** A token of the vocabulary. */
  ofId(id: number): number {
    return this.place(id, this.known[id] ?? String(id));
  }

  private place(id: number, text: string): number {
    const key = `${id} ${text}`;
    const known = this.places.get(key);
    if (known !== undefined) return known;
    this.places.set(key, this.list.length);
    return this.list.push(text) - 1;
  }
}

/** "sizes.N" `[H, keys]`, "effects.N" `[H, T]`, NaN where not measured, of attention N. */
export function putEffects(survey: Survey, sections: Sections): void {
  survey.attentions.forEach((a, k) => {
    sections.sqrt8(`sizes.${k}`, [a.heads, a.keys], a.sizes, largest(a.sizes));
    const effects = survey.headEffects?.parts.find(({ part }) => part === a.part);
    if (effects) sections.f16(`effects.${k}`, [a.heads, survey.tokens.length], effects.values);
  });
}

/**
 * "lens.guess" and "lens.probability" `[R, T]`: the best after each layer; "guesses" and "guesses.probability" `[T, K]`:
 * the K best of the last. "lens.target" `[R, T]`, "lens.rank" `[R, T]` from 1, 0 where unknown: of what came.
 */
export function putLens({ lens, targets }: Survey, strings: Strings, sections: Sections): void {
  if (lens === undefined || targets === undefined) return;
  const { length, top, ids, probabilities } = lens;
  const rows = lens.names.length;
  const cells = Array.from({ length: rows * length }, (_, cell) => cell);
  const of = (id: number) => strings.ofId(id);
  sections.integers(
    "lens.guess",
    [rows, length],
    cells.map((cell) => of(ids[cell * top]!)),
  );
  sections.f16(
    "lens.probability",
    [rows, length],
    Float32Array.from(cells, (cell) => probabilities[cell * top]!),
  );
  const last = (rows - 1) * length * top;
  sections.integers("guesses", [length, top], Array.from(ids.subarray(last), of));
  sections.f16("guesses.probability", [length, top], probabilities.subarray(last));
  // At an end without a successor the target is the best guess, whose probability is among the guesses or unknown.
  const place = (cell: number) => ids.subarray(cell * top, (cell + 1) * top).indexOf(targets[cell % length]!);
  const isKnown = (cell: number) => lens.targets[cell % length]! >= 0;
  const target = cells.map((cell) => {
    if (isKnown(cell)) return lens.targetProbabilities[cell]!;
    return place(cell) < 0 ? Number.NaN : probabilities[cell * top + place(cell)]!;
  });
  sections.f16("lens.target", [rows, length], Float32Array.from(target));
  sections.integers(
    "lens.rank",
    [rows, length],
    cells.map((cell) => (isKnown(cell) ? lens.targetRanks[cell]! : place(cell)) + 1),
  );
}

/** "target" `[T]`: log-probability. "wrote", "gradient" `[writes, longest text]`: lengths, NaN behind a text's end. */
export function putWrites(survey: Survey, sections: Sections): Write[] {
  if (survey.targetLogProbabilities) {
    sections.f16("target", [survey.tokens.length], survey.targetLogProbabilities);
  }
  const writes = survey.loudness.filter(({ role }) => role === "write");
  const width = Math.max(survey.tokens.length, survey.source?.length ?? 0);
  const rows = (pick: (write: (typeof writes)[number]) => Float32Array | undefined): Float32Array => {
    const values = new Float32Array(writes.length * width).fill(Number.NaN);
    writes.forEach((write, k) => values.set(pick(write) ?? [], k * width));
    return values;
  };
  if (writes.length > 0)
    sections.f16(
      "wrote",
      [writes.length, width],
      rows(({ norms }) => norms),
    );
  if (writes.some(({ gradients }) => gradients)) {
    sections.f16(
      "gradient",
      [writes.length, width],
      rows(({ gradients }) => gradients),
    );
  }
  return writes.map(({ name, of }) => ({ label: labelOf(name), of }));
}

const partNames: Readonly<Record<string, string>> = {
  attn: "attention",
  cross: "cross-attention",
  mlp: "MLP",
};

/** `decoder.layer.2.attn.out` as "attention 2", `encoder.embed.position` as "encoder: position". */
function labelOf(name: string): string {
  const body = name.startsWith("encoder.") ? "encoder: " : "";
  const layer = /layer\.(\d+)\.(\w+)/.exec(name);
  if (layer) return `${body}${partNames[layer[2]!] ?? layer[2]!} ${layer[1]!}`;
  return body + (/embed\.(\w+)/.exec(name)?.[1] ?? name);
}

/** "graph": the messages of each prediction, the largest effect first; "mlps" `[T, L]`. Gives their numbers, −1 for none. */
export function putGraph(survey: Survey, sections: Sections): number[] {
  const places = new Map(survey.attentions.map(({ part }, k) => [part, k]));
  const kept = Array.from(survey.tokens, (_, t) => survey.routes[t]?.messages.slice(0, messagesKept));
  const all = kept.flatMap((messages) => messages ?? []);
  const max = largest(all.map(({ effect }) => effect));
  const numbers = all.flatMap(({ part, head, to, from, effect, isMeasured }) => [
    isMeasured ? head : -head,
    places.get(part)!,
    to,
    from,
    Math.sign(effect) * Math.round(32767 * Math.sqrt(Math.abs(effect) / max)),
  ]);
  sections.graph("graph", Int16Array.from(numbers), [all.length, numbersPerMessage], max);
  if (survey.mlpEstimates) sections.f16("mlps", [survey.tokens.length, survey.layers], survey.mlpEstimates);
  return kept.map((messages) => messages?.length ?? -1);
}
