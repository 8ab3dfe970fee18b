import { headKind } from "../src/inspect/head-kinds.ts";
import type { AttentionMap, Loudness, Route, Survey } from "../src/inspect/survey-types.ts";
import type { Message, Token } from "../src/inspect/types.ts";

export interface SyntheticOptions {
  readonly length: number;
  /** Tokens of the encoder's text, for an encoder–decoder. */
  readonly source?: number;
  readonly architecture?: "decoder" | "encoder";
  readonly layers?: number;
  readonly heads?: number;
  /** What token `id` looks like. Default: syllables, most with a blank before them. */
  readonly word?: (id: number) => string;
  readonly vocabSize?: number;
  /** Whether heads and messages were measured. Default true. */
  readonly isMeasured?: boolean;
}

/** Numbers in [0, 1) that every run draws alike. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const syllables = ["ba", "ke", "lo", "mi", "nu", "ra", "si", "to", "vu", "za"];
const syllable = (id: number): string =>
  `${id % 3 === 0 ? "" : " "}${syllables[id % 10]}${syllables[Math.floor(id / 10) % 10]}`;

/** A survey of a model that does not exist: every number is drawn, every shape is right. */
export function syntheticSurvey(options: SyntheticOptions): Survey {
  const {
    length,
    source,
    layers = 2,
    heads = 2,
    vocabSize = 64,
    word = syllable,
    isMeasured = true,
  } = options;
  const architecture = source === undefined ? (options.architecture ?? "decoder") : "encoder-decoder";
  const random = numbers(7);
  const id = () => Math.floor(random() * vocabSize);
  const text = (n: number): Token[] => Array.from({ length: n }, id).map((id) => ({ id, text: word(id) }));
  const tokens = text(length);
  const sourceTokens = source === undefined ? undefined : text(source);
  const last = id();
  const targets = Int32Array.from(tokens, (token, t) =>
    architecture === "encoder" ? token.id : (tokens[t + 1]?.id ?? last),
  );

  const attention = (part: string, layer: number, of: "tokens" | "source", from: "tokens" | "source") => {
    const isCausal = of === "tokens" && from === "tokens" && architecture !== "encoder";
    const [rows, keys] = [of, from].map((name) => (name === "source" ? source! : length)) as [number, number];
    const weights = new Float32Array(heads * rows * keys);
    for (let row = 0; row < heads * rows; row++) {
      const end = isCausal ? (row % rows) + 1 : keys;
      const values = weights.subarray(row * keys, row * keys + end);
      values[Math.floor(random() * end)] = 2;
      let sum = 0;
      for (let j = 0; j < end; j++) {
        const u = random();
        sum += values[j]! += u * u * u * u;
      }
      for (let j = 0; j < end; j++) values[j]! /= sum;
    }
    const ids = (of === "source" ? sourceTokens! : tokens).map((token) => token.id);
    const kinds = Array.from({ length: heads }, (_, h) =>
      of === from
        ? headKind(weights.subarray(h * rows * keys, (h + 1) * rows * keys), ids)
        : { kind: "broad" as const, share: 0 },
    );
    const sizes = Float32Array.from({ length: heads * keys }, () => 0.1 + 3 * random());
    const kind = of === from ? "self" : "cross";
    return {
      part,
      kind,
      of,
      from,
      layer,
      heads,
      length: rows,
      keys,
      causal: isCausal,
      weights,
      sizes,
      kinds,
    } as AttentionMap;
  };
  const attentions: AttentionMap[] = [];
  const body = sourceTokens ? "decoder." : "";
  for (let layer = 1; sourceTokens && layer <= layers; layer++) {
    attentions.push(attention(`encoder.layer.${layer}.attn`, layer, "source", "source"));
  }
  for (let layer = 1; layer <= layers; layer++) {
    attentions.push(attention(`${body}layer.${layer}.attn`, layer, "tokens", "tokens"));
    if (sourceTokens) attentions.push(attention(`decoder.layer.${layer}.cross`, layer, "tokens", "source"));
  }

  const own = attentions.filter(({ of }) => of === "tokens");
  const route = (to: number): Route => {
    const messages = own.flatMap((a): Message[] => {
      const place = () => Math.floor(random() * (a.from === "source" ? source! : a.causal ? to + 1 : length));
      return Array.from({ length: 12 }, (_, k) => {
        const effect = 6 * (random() - 0.4) ** 3;
        const head = (k % heads) + 1;
        const isOwn = a.layer === layers || random() < 0.5;
        const reads = isOwn || a.causal === false ? to : Math.floor(random() * (to + 1));
        const from = a.from === "tokens" && a.causal ? Math.min(reads, place()) : place();
        return {
          part: a.part,
          layer: a.layer,
          head,
          from,
          to: reads,
          weight: 0.2,
          size: 1,
          effect,
          estimate: effect,
          isMeasured,
        };
      });
    });
    messages.sort((a, b) => Math.abs(b.effect) - Math.abs(a.effect));
    return { to, token: targets[to]!, isMeasured, messages: messages.slice(0, 48) };
  };

  const top = 5;
  const cells = (layers + 1) * length;
  const ids = new Int32Array(cells * top);
  const probabilities = new Float32Array(cells * top);
  const targetProbabilities = new Float32Array(cells);
  const targetRanks = new Int32Array(cells);
  for (let cell = 0; cell < cells; cell++) {
    const guesses = new Set<number>();
    while (guesses.size < Math.min(top, vocabSize)) guesses.add(id());
    const target = targets[cell % length]!;
    let rest = 1;
    [...guesses].forEach((guess, k) => {
      ids[cell * top + k] = guess;
      const p = rest * (0.3 + 0.4 * random());
      probabilities[cell * top + k] = p;
      rest -= p;
    });
    const rank = [...guesses].indexOf(target);
    targetRanks[cell] = rank < 0 ? top + Math.floor(random() * 9) : rank;
    targetProbabilities[cell] = rank < 0 ? rest / 20 : probabilities[cell * top + rank]!;
  }
  const isEnded = architecture === "encoder";
  const loudness: Loudness[] = [];
  const lengths = (of: "tokens" | "source") => () => 0.01 + 10 * random() ** 3 + (of === "source" ? 1 : 0);
  const write = (name: string, of: "tokens" | "source" = "tokens") => {
    const n = of === "source" ? source! : length;
    const draw = () => Float32Array.from({ length: n }, lengths(of));
    loudness.push({
      name,
      of,
      role: "write",
      norms: draw(),
      gradients: draw().map((v) => v / 1000),
    } as Loudness);
  };
  for (let layer = 1; sourceTokens && layer <= layers; layer++)
    write(`encoder.layer.${layer}.attn.out`, "source");
  write(`${body}embed.token`);
  for (let layer = 1; layer <= layers; layer++) {
    for (const part of sourceTokens ? ["attn", "cross", "mlp"] : ["attn", "mlp"])
      write(`${body}layer.${layer}.${part}.out`);
  }

  const strings = Object.fromEntries(Array.from({ length: vocabSize }, (_, id) => [id, word(id)]));
  return {
    format: "trainformer-survey/1",
    model: "run/synthetic",
    architecture,
    parameters: 1_234_567,
    hiddenSize: 16 * heads,
    vocabSize,
    layers,
    tokens,
    source: sourceTokens,
    targets,
    targetLogProbabilities: Float32Array.from({ length }, (_, t) =>
      Math.log(targetProbabilities[layers * length + t]!),
    ),
    loss: 3.21,
    lens: {
      names: Array.from(
        { length: layers + 1 },
        (_, l) => `${body}layer.${Math.max(1, l)}.out`,
      ) as Survey["lens"] extends { names: infer N } | undefined ? N : never,
      length,
      top,
      ids,
      probabilities,
      targets: targets.map((target, t) => (t === length - 1 && !isEnded ? -1 : target)),
      targetProbabilities,
      targetRanks,
    },
    attentions,
    loudness,
    routes: tokens.map((_, t) => (isMeasured || t % 2 === 0 ? route(t) : undefined)),
    mlpEstimates: Float32Array.from({ length: length * layers }, () => random() - 0.5),
    headEffects: isMeasured
      ? {
          of: "heads",
          length,
          parts: own.map(({ part }) => ({
            part,
            heads,
            values: Float32Array.from({ length: heads * length }, () => 4 * (random() - 0.4) ** 3),
          })),
        }
      : undefined,
    strings,
    notMeasured: isMeasured ? [] : ["the effects of heads", "half of the message graphs"],
    seconds: 3,
    budget: 30,
  };
}
