/** Which stack of layers: the only one, or that of an encoder–decoder model. */
export type Body = "" | "encoder." | "decoder.";

type AttentionPart = "q" | "q.unrotated" | "k" | "k.unrotated" | "v" | "scores" | "weights" | "heads" | "out";

/** What a layer sends, after `layer.N.`. */
export type LayerMessage =
  | "in"
  | `attn.${AttentionPart}`
  | "mid"
  | `cross.${AttentionPart | "mid"}`
  | `mlp.${"hidden" | "out"}`
  | "out";

/**
 * The name of a message, a path of words. Layers count from 1.
 *
 * Shapes, after the axis of the batch: vectors of tokens `[T, C]`; `q [T, H, D]`, `k`, `v [S, G, D]`, `scores`, `weights
 * [H, T, S]`, `heads [T, H, C]`, `mlp.hidden [T, F]`, `logits [T, V]`. `q` and `k` are after rotation, `q.unrotated` and
 * `k.unrotated` before. Scores are before the softmax, masked ones −∞. `heads` is the output of each head times its slice
 * of W_o: heads and bias sum to `attn.out`. `mid` is the stream after attention, `cross.mid` after cross-attention.
 */
export type MessageName =
  | `${Body}embed.${"token" | "position" | "type"}`
  | `${Body}layer.${number}.${LayerMessage}`
  | `${Body}final.norm`
  | "logits";

/** Names with `*` for one word and `**` for any number of them, none too: `layer.*.out`, `decoder.**`, `**.weights`. */
export type Glob = `${string}*${string}`;

const expressions = new Map<string, RegExp>();

/** Whether a name, or what stands for several, means this message. */
export function matches(pattern: string, name: string): boolean {
  if (!pattern.includes("*")) return pattern === name;
  let expression = expressions.get(pattern);
  if (expression === undefined) {
    const source = pattern
      .replace(/[.+?^${}()|[\]\\]/g, "\\$&")
      .replace(/\*\*\\\.|\*\*|\*/g, (star) => (star === "*" ? "[^.]*" : star === "**" ? ".*" : "(?:.*\\.)?"));
    expression = new RegExp(`^${source}$`);
    expressions.set(pattern, expression);
  }
  return expression.test(name);
}

/** Levenshtein's distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + Number(a[i - 1] !== b[j - 1]);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}

/** What stands in other libraries for a word here. */
const synonyms: Readonly<Record<string, string>> = {
  attention: "attn",
  layers: "layer",
  blocks: "layer",
  h: "layer",
  pattern: "weights",
  probabilities: "weights",
  residual: "out",
  query: "q",
  key: "k",
  value: "v",
  output: "out",
  result: "heads",
};

/** The name that was probably meant. */
export function nearest(wrong: string, names: readonly string[]): string | undefined {
  const meant = wrong
    .split(".")
    .map((word) => (Object.hasOwn(synonyms, word) ? synonyms[word]! : word))
    .join(".");
  let best: string | undefined;
  let least = Infinity;
  for (const name of names) {
    const d = distance(meant, name);
    if (d < least) [best, least] = [name, d];
  }
  return best;
}

/** `layer.3.attn.weights` in its parts. */
export interface ParsedName {
  readonly body: Body;
  /** From 1; 0 where the message is of no layer. */
  readonly layer: number;
  /** What comes after `layer.N.`, or after the body. */
  readonly rest: string;
}

export function parseName(name: string): ParsedName {
  const [, body = "", layer = "0", rest = ""] = /^(encoder\.|decoder\.)?(?:layer\.(\d+)\.)?(.*)$/.exec(name)!;
  return { body: body as Body, layer: Number(layer), rest };
}
