import { noGrad } from "../autograd.ts";
import { checkInteger } from "../errors.ts";
import { scope, unscoped } from "../memory.ts";
import { gatherRows } from "../ops/cache.ts";
import { add, expand, reshape, slice } from "../ops/index.ts";
import { type Tensor, tensor } from "../tensor.ts";
import type { Anatomy } from "./anatomy.ts";
import { type AttentionPart, attentionsOf } from "./attention-parts.ts";
import { branchedStream, variantsAtOnce } from "./branch.ts";
import { headWrites, messageSlopes } from "./head-writes.ts";
import type { Inputs } from "./inputs.ts";
import { streamsOf } from "./lens.ts";
import { likeliest, logOdds, positionOf } from "./log-odds.ts";
import { Recorder } from "./recorder.ts";
import type { Message, MessagesOptions } from "./types.ts";
import { streamLogOdds, unembeddingOf } from "./unembed.ts";

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};
const lengthOf = (a: ArrayLike<number>): number => Math.sqrt(dot(a, a));

interface Candidate {
  readonly in: AttentionPart;
  readonly head: number;
  readonly from: number;
  readonly to: number;
  readonly weight: number;
  readonly estimate: number;
}

/** Keeps the `count` candidates with the largest estimates. */
class Shortlist {
  private list: Candidate[] = [];
  private least = 0;
  private readonly count: number;

  constructor(count: number) {
    this.count = count;
  }

  /** Offers all messages of an attention: `slopes` and `weights [H, T, S]`. */
  offer(
    part: AttentionPart,
    slopes: ArrayLike<number>,
    weights: ArrayLike<number>,
    T: number,
    S: number,
  ): void {
    for (let n = 0; n < weights.length; n++) {
      const estimate = slopes[n]! * weights[n]!;
      if (!(Math.abs(estimate) > this.least)) continue;
      const [head, to, from] = [Math.floor(n / (T * S)), Math.floor(n / S) % T, n % S];
      this.list.push({ in: part, head, to, from, weight: weights[n]!, estimate });
      if (this.list.length >= 4 * this.count) this.cut();
    }
  }

  private cut(): void {
    this.list.sort((a, b) => Math.abs(b.estimate) - Math.abs(a.estimate));
    this.list.length = Math.min(this.list.length, this.count);
    if (this.list.length === this.count) this.least = Math.abs(this.list.at(-1)!.estimate);
  }

  get best(): readonly Candidate[] {
    this.cut();
    return this.list;
  }
}

/** What decided one prediction. */
export interface RouteResult {
  readonly to: number;
  readonly token: number;
  readonly messages: Message[];
  /** Gradient · what each MLP of the last body wrote at position `to`. */
  readonly mlps: number[];
}

/** The messages behind one prediction; see Trace.messages. */
export async function routeOf(
  anatomy: Anatomy,
  whole: Inputs,
  to: number,
  options: MessagesOptions = {},
): Promise<RouteResult> {
  const { top = 48, candidates: count = 96, measure = true } = options;
  const { size } = unembeddingOf(anatomy, "messages");
  const at = positionOf("messages: to", to, whole.tokens.length);
  checkInteger("messages: top", top, 1);
  checkInteger("messages: candidates", count, 1);
  if (options.token !== undefined) checkInteger("messages: token", options.token, 0, size - 1);
  const inputs = readAt(anatomy, whole, at);
  const run = backwardFrom(anatomy, inputs, at, options.token);
  try {
    const shortlist = new Shortlist(measure ? Math.max(top, count) : top);
    for (const part of attentionsOf(anatomy)) {
      const weights = run.recorder.kept.get(`${part.part}.weights`)!;
      const gradient = run.recorder.gradients.get(`${part.part}.out`);
      if (gradient === undefined) continue; // nothing of it comes to this position
      const v = run.recorder.kept.get(`${part.part}.v`)!;
      const slopes = unscoped(() => noGrad(() => scope(() => messageSlopes(part.attention, gradient, v))));
      const [, , T, S] = weights.shape as [number, number, number, number];
      const values = await Promise.all([slopes, weights].map((t) => t.toTypedArray()));
      slopes.dispose();
      shortlist.offer(part, values[0]!, values[1]!, T, S);
      options.signal?.throwIfAborted();
    }
    const messages = await measured(
      anatomy,
      inputs,
      run,
      shortlist.best,
      measure ? count : 0,
      options.signal,
    );
    messages.sort((a, b) => Math.abs(b.effect) - Math.abs(a.effect));
    return {
      to: at,
      token: run.token,
      messages: messages.slice(0, top),
      mlps: await mlpsAt(anatomy, run, at),
    };
  } finally {
    for (const t of [...run.recorder.kept.values(), ...run.recorder.gradients.values()]) t.dispose();
  }
}

/** The text as far as a decoder has read it at a position: what comes later changes nothing. */
function readAt({ kind, bodies }: Anatomy, inputs: Inputs, at: number): Inputs {
  // Unless its rotary positions turn by angles that depend on the length.
  const turnsAnew = bodies.some(({ blocks }) =>
    blocks.some(({ attention }) => ["dynamic", "longrope"].includes(attention.rotary?.scaling?.type ?? "")),
  );
  if (kind === "encoder" || turnsAnew) return inputs;
  const length = at + 1;
  const tokens = { ids: inputs.tokens.ids.slice(0, length), length, lengths: [length] };
  return { ...inputs, tokens, targets: inputs.targets.slice(0, length) };
}

interface BackwardRun {
  readonly recorder: Recorder;
  readonly at: number;
  readonly token: number;
}

/** Weights and values of every attention, and the gradient of the log-odds by what it and the MLPs write. */
function backwardFrom(anatomy: Anatomy, inputs: Inputs, at: number, asked: number | undefined): BackwardRun {
  const last = streamsOf(anatomy).at(-1)!;
  const parts = attentionsOf(anatomy).map(({ part }) => part);
  const mlps = mlpsOf(anatomy);
  const recorder = new Recorder({
    ...{ messages: new Map(), edits: new Map(), stopAfter: last },
    kept: new Set([...parts.flatMap((part) => [`${part}.weights`, `${part}.v`]), ...mlps]),
    gradients: new Set([...parts.map((part) => `${part}.out`), ...mlps]),
  });
  const comes = inputs.targets[at]!;
  let token = asked ?? comes;
  const { size, logits } = anatomy.unembedding!;
  const value = (stream: Tensor) => {
    const row = reshape(logits(slice(stream, 1, at, at + 1)), [1, size]);
    if (token < 0) token = likeliest(row);
    return logOdds(row, token);
  };
  recorder.run(anatomy, inputs, { of: last, value })?.dispose();
  return { recorder, at, token };
}

function mlpsOf({ bodies }: Anatomy): string[] {
  const { body, blocks } = bodies.at(-1)!;
  return blocks.map((_, i) => `${body}layer.${i + 1}.mlp.out`);
}

async function mlpsAt(anatomy: Anatomy, { recorder }: BackwardRun, at: number): Promise<number[]> {
  const row = async (t: Tensor | undefined) => t && (await slice(t, 1, at, at + 1).toTypedArray());
  return Promise.all(
    mlpsOf(anatomy).map(async (name) => {
      const [value, gradient] = await Promise.all([
        row(recorder.kept.get(name)),
        row(recorder.gradients.get(name)),
      ]);
      return value && gradient ? dot(value, gradient) : 0;
    }),
  );
}

/**
 * The candidates as messages; the first `count` are withheld, each in a variant of its own.
 *
 * Up to its layer a variant is the text itself, so what it lacks is known: weight · v·W_o.
 */
async function measured(
  anatomy: Anatomy,
  inputs: Inputs,
  { recorder, at, token }: BackwardRun,
  candidates: readonly Candidate[],
  count: number,
  signal: AbortSignal | undefined,
): Promise<Message[]> {
  const atPosition = async (stream: Tensor) => {
    const rows = slice(stream, 1, at, at + 1);
    const [n, , C] = rows.shape as [number, number, number];
    const values = await streamLogOdds(anatomy, reshape(rows, [n, C]), new Array<number>(n).fill(token));
    stream.dispose();
    return values;
  };
  const before = count > 0 ? (await atPosition(branchedStream(anatomy, inputs)))[0]! : NaN;
  const tested = new Set(candidates.slice(0, count));
  const step = variantsAtOnce(anatomy, inputs);
  const messages: Message[] = [];
  for (const part of new Set(candidates.map((candidate) => candidate.in))) {
    const group = candidates.filter((candidate) => candidate.in === part);
    for (let first = 0; first < group.length; first += step) {
      signal?.throwIfAborted();
      const some = group.slice(first, first + step);
      const vectors = await vectorsOf(part, some, recorder.kept.get(`${part.part}.v`)!);
      const C = anatomy.hiddenSize;
      const run = some.flatMap((candidate, n) =>
        tested.has(candidate) ? [{ ...candidate, vector: vectors.subarray(n * C, (n + 1) * C) }] : [],
      );
      const fork = {
        at: `${part.part}.out`,
        variants: (sent: Tensor) => withheld(sent, run),
      };
      const after = run.length > 0 ? await atPosition(branchedStream(anatomy, inputs, fork)) : [];
      let next = 0;
      for (const [n, candidate] of some.entries()) {
        const isMeasured = tested.has(candidate);
        messages.push({
          ...{ part: part.part, layer: part.layer, head: candidate.head + 1 },
          ...{ from: candidate.from, to: candidate.to, weight: candidate.weight },
          size: lengthOf(vectors.subarray(n * C, (n + 1) * C)),
          effect: isMeasured ? before - after[next++]! : candidate.estimate,
          ...{ estimate: candidate.estimate, isMeasured },
        });
      }
    }
  }
  return messages;
}

/** The vectors of messages of one attention, one after the other: `[n, C]`. */
async function vectorsOf(
  { attention }: AttentionPart,
  messages: readonly Candidate[],
  v: Tensor,
): Promise<Float32Array> {
  const S = v.shape[1]!;
  const rows = unscoped(() =>
    noGrad(() =>
      scope(() => {
        const writes = headWrites(attention, v);
        const places = Int32Array.from(messages, ({ head, from }) => head * S + from);
        const all = reshape(writes, [attention.numHeads * S, writes.shape[2]!]);
        return gatherRows(all, tensor(places, [places.length], { device: v.device }));
      }),
    ),
  );
  const values = (await rows.toTypedArray()) as Float32Array;
  rows.dispose();
  const C = values.length / messages.length;
  for (let n = 0; n < values.length; n++) values[n]! *= messages[Math.floor(n / C)]!.weight;
  return values;
}

/** `sent [1, T, C]` in as many variants as there are messages, each without one: `[n, T, C]`. */
function withheld(sent: Tensor, messages: readonly (Candidate & { vector: Float32Array })[]): Tensor {
  const [, T, C] = sent.shape as [number, number, number];
  const shape = [messages.length, T, C];
  const lacking = new Float32Array(messages.length * T * C);
  for (const [n, { to, vector }] of messages.entries())
    lacking.set(
      vector.map((x) => -x),
      (n * T + to) * C,
    );
  const { device, dtype } = sent;
  return add(expand(sent, shape), tensor(lacking, shape, { device }).to(dtype));
}
