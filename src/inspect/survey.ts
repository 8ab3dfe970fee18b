import { noGrad } from "../autograd.ts";
import { checkNumber } from "../errors.ts";
import { scope, unscoped } from "../memory.ts";
import type { AnyModule } from "../nn/module.ts";
import { mul } from "../ops/elementwise.ts";
import { sum } from "../ops/reductions.ts";
import { cast, reshape } from "../ops/views.ts";
import type { Tensor } from "../tensor.ts";
import { type Anatomy, anatomyOf } from "./anatomy.ts";
import { type AttentionPart, attentionsOf } from "./attention-parts.ts";
import { crossHeadKind, headKind } from "./head-kinds.ts";
import { headWrites } from "./head-writes.ts";
import { firstRow, type Inputs, inputsOf } from "./inputs.ts";
import { parseName } from "./names.ts";
import { SurveySchedule } from "./survey-schedule.ts";
import type { AttentionMap, Loudness, Survey } from "./survey-types.ts";
import { trace } from "./trace.ts";
import type { Lens, Token, Trace, TraceInput, TraceTokenizer } from "./types.ts";
import { comingTokens } from "./unembed.ts";

export interface SurveyOptions {
  tokenizer?: TraceTokenizer;
  /** For what is measured; the rest is always done. Default 30. */
  seconds?: number;
  /** Most bytes that are kept meanwhile. Default 1 GB. */
  bytes?: number;
  /** Called with what is being done and how much of the time has gone, from 0 to 1. */
  onProgress?: (what: string, share: number) => void;
  signal?: AbortSignal;
}

/**
 * All that a page about a model and a text shows. Weights, norms, gradients and the lens always; then, as long as there is
 * time, the messages behind every prediction, beginning where the layers changed the model's mind most, and what every
 * head is worth. What there was no time for is named in `notMeasured`.
 */
export async function survey(
  model: AnyModule,
  input: TraceInput,
  options: SurveyOptions = {},
): Promise<Survey> {
  const { tokenizer, signal, bytes = 2 ** 30, onProgress } = options;
  const budget = checkNumber("survey: seconds", options.seconds ?? 30, 0);
  const begin = performance.now();
  const elapsed = () => (performance.now() - begin) / 1000;
  const anatomy = anatomyOf(model);
  const inputs = inputsOf(anatomy, input, tokenizer);
  const speaks = anatomy.unembedding !== undefined;
  const hasLoss = speaks && inputs.targets.some((id) => id >= 0);
  onProgress?.("one pass forward and back", 0);
  await using run = await trace(model, input, {
    keep: ["attention", "**.v", "**.mid", "**.out"],
    budget: { bytes },
    ...(hasLoss && { gradOf: "loss" }),
    ...(tokenizer && { tokenizer }),
  });
  const lens = speaks ? await run.lens() : undefined;
  const last = lens && run.get(lens.names.at(-1)!);
  const targets = last && (await comingTokens(anatomy, inputs, last));
  const plan = new SurveySchedule(anatomy, inputs, lens, { budget, elapsed, signal, onProgress });
  const { routes, mlpEstimates, headEffects, notMeasured } = await plan.measure();
  const source = run.sourceTokens;
  return {
    format: "trainformer-survey/1",
    model: model.constructor.name,
    architecture: anatomy.kind,
    parameters: model.parameterCount,
    hiddenSize: anatomy.hiddenSize,
    vocabSize: anatomy.unembedding?.size ?? anatomy.bodies.at(-1)!.vocabSize,
    layers: anatomy.bodies.at(-1)!.blocks.length,
    tokens: run.tokens,
    source,
    targets,
    targetLogProbabilities: lens && targets && logProbabilitiesOf(lens, targets),
    loss: run.objective,
    lens,
    attentions: await attentionMaps(anatomy, inputs, run),
    loudness: await loudnessOf(run, hasLoss),
    routes,
    mlpEstimates,
    headEffects,
    strings: stringsOf([...run.tokens, ...(source ?? [])], lens, targets, routes, tokenizer),
    ...{ notMeasured, seconds: elapsed(), budget },
  };
}

function logProbabilitiesOf({ names, length: T, top: K, ...lens }: Lens, targets: Int32Array): Float32Array {
  const R = names.length - 1;
  return Float32Array.from(targets, (target, t) => {
    const known = lens.targetProbabilities[R * T + t]!;
    // Where the text doesn't say what comes, the target is the first guess.
    return Math.log(lens.targets[t]! === target ? known : lens.probabilities[(R * T + t) * K]!);
  });
}

async function attentionMaps(anatomy: Anatomy, inputs: Inputs, run: Trace): Promise<AttentionMap[]> {
  const maps: AttentionMap[] = [];
  for (const part of attentionsOf(anatomy)) {
    const { heads, kind, of, from, causal, layer } = part;
    const weights = (await run
      .get(`${part.part}.weights` as "layer.1.attn.weights")
      .toTypedArray()) as Float32Array;
    const read = (which: "tokens" | "source") => firstRow(inputs[which]!);
    const ids = read(of);
    const [T, S] = [ids.length, read(from).length];
    const kinds = Array.from({ length: heads }, (_, h) => {
      const own = weights.subarray(h * T * S, (h + 1) * T * S);
      return kind === "self" ? headKind(own, ids) : crossHeadKind(own, T, S);
    });
    const sizes = await sizesOf(anatomy, part, run.get(`${part.part}.v` as "layer.1.attn.v"));
    maps.push({
      part: part.part,
      kind,
      of,
      from,
      layer,
      heads,
      length: T,
      keys: S,
      causal,
      weights,
      sizes,
      kinds,
    });
  }
  return maps;
}

/** `[H, S]`: length of what each head writes for each key at weight 1. */
async function sizesOf({ model }: Anatomy, { attention }: AttentionPart, v: Tensor): Promise<Float32Array> {
  const squares = unscoped(() =>
    noGrad(() =>
      scope(() => {
        const writes = headWrites(attention, reshape(v.to(model.device), [1, ...v.shape]));
        return sum(mul(writes, writes), 2);
      }),
    ),
  );
  const values = (await squares.toTypedArray()) as Float32Array;
  squares.dispose();
  return values.map(Math.sqrt);
}

async function loudnessOf(run: Trace, hasGradients: boolean): Promise<Loudness[]> {
  const norms = async (t: Tensor): Promise<Float32Array> => {
    const squares = unscoped(() => noGrad(() => scope(() => sum(mul(cast(t, "f32"), cast(t, "f32")), 1))));
    const values = (await squares.toTypedArray()) as Float32Array;
    squares.dispose();
    return values.map(Math.sqrt);
  };
  const streams = run.names.filter((name) => /(layer\.1\.in|mid|layer\.\d+\.out|final\.norm)$/.test(name));
  const writes = run.names.filter((name) => /(embed\.\w+|(attn|cross|mlp)\.out)$/.test(name));
  const all: Loudness[] = [];
  for (const name of run.names) {
    if (!streams.includes(name) && !writes.includes(name)) continue;
    all.push({
      name,
      of: parseName(name).body === "encoder." ? "source" : "tokens",
      role: streams.includes(name) ? "stream" : "write",
      norms: await norms(run.get(name)),
      gradients: hasGradients ? await norms(run.grad(name)) : undefined,
    });
  }
  return all;
}

function stringsOf(
  tokens: readonly Token[],
  lens: Lens | undefined,
  targets: Int32Array | undefined,
  routes: Survey["routes"],
  tokenizer: TraceTokenizer | undefined,
): Record<number, string> {
  const ids = new Set([...tokens.map(({ id }) => id), ...(lens?.ids ?? []), ...(targets ?? [])]);
  for (const route of routes) if (route) ids.add(route.token);
  const texts = new Map(tokens.map(({ id, text }) => [id, text]));
  return Object.fromEntries(
    [...ids]
      .filter((id) => id >= 0)
      .map((id) => [id, texts.get(id) || (tokenizer ? tokenizer.decode([id]) : String(id))]),
  );
}
