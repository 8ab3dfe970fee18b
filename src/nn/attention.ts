import { noGrad } from "../autograd.ts";
import { ArgumentError, checkInteger, checkNumber } from "../errors.ts";
import { scope, unscoped } from "../memory.ts";
import { send } from "../messages.ts";
import { type AttentionOptions, attentionWeights } from "../ops/attention.ts";
import { randn } from "../ops/creation.ts";
import { add } from "../ops/elementwise.ts";
import { concat, reshape, split } from "../ops/views.ts";
import { type Tensor, tensor } from "../tensor.ts";
import { alibiSlopes } from "./alibi.ts";
import type { LayerCache } from "./cache.ts";
import { Linear, RMSNorm } from "./layers.ts";
import { Module, type Parameter, parameter } from "./module.ts";
import { sentAttention, sentHeads } from "./open-attention.ts";
import type { Position } from "./positions.ts";
import { RelativeKeys } from "./relative-keys.ts";
import type { RotaryPositions } from "./rotary.ts";
import { checkedPattern, type FullPattern, type SparsePattern, sparseBlocks } from "./sparse-pattern.ts";

export interface HeadOptions {
  /** Width of the stream, C. */
  hiddenSize: number;
  numHeads: number;
  /** Key-value heads, of which each serves numHeads / numKeyValueHeads query heads. Default numHeads. */
  numKeyValueHeads?: number;
  /** Default hiddenSize / numHeads. */
  headSize?: number;
  /** Factor of q·kᵀ. Default 1/√headSize. */
  scale?: number;
  /** Of attention weights, while training. Default 0. */
  dropout?: number;
  /** Default true. */
  bias?: boolean;
  /** Of the output projection, where it differs. */
  outputBias?: boolean;
  /** Of normal initial weights; see Linear. */
  std?: number;
  /** Of the projection of queries, where it differs. */
  queryStd?: number;
  /** Of the output projection, where it differs. */
  outputStd?: number;
}

export interface MultiHeadAttentionOptions extends HeadOptions {
  /** Position t sees positions up to t only. Default false. */
  causal?: boolean;
  /** Position t sees only positions less than so many away; see attention. Default: all. */
  window?: number | undefined;
  /** Turns queries and keys by their positions. */
  rotary?: RotaryPositions | undefined;
  /** Scores fall with the distance, by another slope in each head: positions need nothing else. See alibiSlopes. */
  alibi?: boolean;
  /** Learned vectors for distances up to `maxDistance` beside the keys; see RelativeKeys. */
  relativeKeys?: { maxDistance?: number } | undefined;
  /** Only some blocks of positions see each other; no work is done for the others. See SparsePattern. */
  sparse?: SparsePattern | undefined;
  /** Normalizes every head of queries and keys by its root mean square, before rotary positions, as Qwen 3. */
  headNorm?: { eps?: number } | undefined;
}

/** What every attention of a model may be given beside its input. */
interface CommonInput {
  /** `[B, T, C]`, added to the result in the same pass. */
  residual?: Tensor | undefined;
  /** `[H, T, S]`, `[1, H, T, S]` or `[B, H, T, S]`, added to the scores; see attention. */
  bias?: Tensor | undefined;
  /** Keys and values of what came before; see KeyValueCache. */
  cache?: LayerCache | undefined;
  /** The attention weights `[B, H, T, S]` are appended to it. They cost a pass that attention alone does without. */
  weights?: Tensor[] | undefined;
}

export interface AttentionInput extends CommonInput {
  /** `[B]` i32: how many positions count; the rest is padding. */
  lengths?: Tensor | undefined;
  /** `[B, T]` i32: the first position that each one sees, for documents that share a row. */
  starts?: Tensor | undefined;
  /** The position of the first one, or of each row's, `[B]` i32. Default 0. */
  position?: Position | undefined;
  /** The position after the last one of any row, where `position` is a tensor. */
  end?: number | undefined;
}

export interface CrossAttentionInput extends CommonInput {
  /** `[B]` i32: how many positions of the memory count; the rest is padding. */
  lengths?: Tensor | undefined;
}

/** What all kinds of attention share: heads, the product with the values, the way back. */
export abstract class Attention<I extends unknown[]> extends Module<[x: Tensor, ...I], Tensor> {
  readonly numHeads: number;
  readonly numKeyValueHeads: number;
  readonly headSize: number;
  readonly scale: number;
  readonly dropout: number;
  abstract output: Linear;

  constructor(name: string, options: HeadOptions) {
    super();
    const { hiddenSize, numHeads } = options;
    checkInteger(`${name}: hiddenSize`, hiddenSize, 1);
    this.numHeads = checkInteger(`${name}: numHeads`, numHeads, 1);
    this.numKeyValueHeads = checkInteger(
      `${name}: numKeyValueHeads`,
      options.numKeyValueHeads ?? numHeads,
      1,
    );
    this.headSize = options.headSize ?? hiddenSize / numHeads;
    if (!Number.isInteger(this.headSize)) {
      throw new ArgumentError(
        `${name}: hiddenSize must be a multiple of numHeads; got hiddenSize ${hiddenSize}, numHeads ${numHeads}`,
      );
    }
    if (numHeads % this.numKeyValueHeads !== 0) {
      throw new ArgumentError(
        `${name}: numHeads must be a multiple of numKeyValueHeads; got ${numHeads} and ${this.numKeyValueHeads}`,
      );
    }
    this.scale = checkNumber(`${name}: scale`, options.scale ?? 1 / Math.sqrt(this.headSize));
    this.dropout = checkNumber(`${name}: dropout`, options.dropout ?? 0, 0, 1);
  }

  /** A projection of the stream to so many heads. */
  protected projection(heads: number, options: HeadOptions, std = options.std): Linear {
    const { hiddenSize, bias = true } = options;
    return new Linear(hiddenSize, heads * this.headSize, { bias, ...(std !== undefined && { std }) });
  }

  protected outputProjection({
    hiddenSize,
    bias = true,
    outputBias = bias,
    std,
    ...rest
  }: HeadOptions): Linear {
    const outputStd = rest.outputStd ?? std;
    return new Linear(this.numHeads * this.headSize, hiddenSize, {
      bias: outputBias,
      ...(outputStd !== undefined && { std: outputStd }),
    });
  }

  /** `[B, T, count · D]` → `[B, T, count, D]` */
  protected heads(t: Tensor, count: number): Tensor {
    return reshape(t, [t.shape[0]!, t.shape[1]!, count, this.headSize]);
  }

  protected attend(q: Tensor, k: Tensor, v: Tensor, input: CommonInput, options: AttentionOptions): Tensor {
    const all = { ...options, scale: this.scale, bias: input.bias };
    input.weights?.push(noGrad(() => attentionWeights(q, k, all)));
    const y = sentAttention(q, k, v, { ...all, dropout: this.training ? this.dropout : 0 });
    return sentHeads(y, this.output, input.residual);
  }
}

/**
 * Multi-head self-attention `[B, T, C] → [B, T, C]`.
 *
 * Queries, keys and values come from one projection; they are views of its result, not copies.
 *
 * @see Vaswani et al. 2017, section 3.2.2; Ainslie et al. 2023 for grouped heads
 */
export class MultiHeadAttention extends Attention<[input?: AttentionInput]> {
  qkv: Linear;
  output: Linear;
  queryNorm: RMSNorm | undefined;
  keyNorm: RMSNorm | undefined;
  relativeKeys: RelativeKeys | undefined;
  readonly causal: boolean;
  readonly window: number | undefined;
  readonly sparse: FullPattern | undefined;
  /** `[H]` f32, of ALiBi. */
  private readonly slopes: Tensor | undefined;
  /** @internal */
  readonly rotary: RotaryPositions | undefined;

  constructor(options: MultiHeadAttentionOptions) {
    super("MultiHeadAttention", options);
    const { causal = false, window, headNorm, queryStd } = options;
    this.causal = causal;
    this.window = window === undefined ? undefined : checkInteger("MultiHeadAttention: window", window, 1);
    this.qkv = this.projection(this.numHeads + 2 * this.numKeyValueHeads, options);
    if (queryStd !== undefined)
      this.qkv.weight = this.initialWeight(options.hiddenSize, queryStd, options.std);
    this.output = this.outputProjection(options);
    this.queryNorm = headNorm && new RMSNorm(this.headSize, headNorm);
    this.keyNorm = headNorm && new RMSNorm(this.headSize, headNorm);
    this.relativeKeys = options.relativeKeys && new RelativeKeys(this.headSize, options.relativeKeys);
    this.sparse = options.sparse && checkedPattern(options.sparse);
    this.slopes = options.alibi ? unscoped(() => tensor(alibiSlopes(this.numHeads))) : undefined;
    // Shared by all layers of a model: not a part of this module.
    Object.defineProperty(this, "rotary", { value: options.rotary });
  }

  /** Of the projection, where queries begin with another standard deviation than keys and values. */
  private initialWeight(hiddenSize: number, queryStd: number, std = queryStd): Parameter {
    const { numHeads: H, numKeyValueHeads: G, headSize: D } = this;
    const make = () => {
      const queries = randn([H * D, hiddenSize], { std: queryStd });
      return concat([queries, randn([2 * G * D, hiddenSize], { std })]);
    };
    return parameter(() => scope(make), [(H + 2 * G) * D, hiddenSize]);
  }

  forward(x: Tensor, input: AttentionInput = {}): Tensor {
    const { numHeads: H, numKeyValueHeads: G, headSize: D, rotary, causal, window } = this;
    const { cache, lengths, starts, position = 0, end } = input;
    const parts = split(this.qkv(x), [H * D, G * D, G * D]) as [Tensor, Tensor, Tensor];
    let q = this.heads(parts[0], H);
    let k = this.heads(parts[1], G);
    if (this.queryNorm && this.keyNorm) [q, k] = [this.queryNorm(q), this.keyNorm(k)];
    if (rotary !== undefined) {
      q = rotary(send("q.unrotated", q), position, end);
      k = rotary(send("k.unrotated", k), position, end);
    }
    [q, k] = [send("q", q), send("k", k)];
    const v = send("v", this.heads(parts[2], G));
    if (cache === undefined) {
      const masks = { causal, window, lengths, starts };
      return this.attend(q, k, v, this.withRelative(input, q, k), { ...masks, ...this.distances(q, k) });
    }
    if (!causal) throw new ArgumentError("MultiHeadAttention: a cache needs causal attention");
    const all = cache.extend(k, v);
    if (all.lengths === undefined) {
      const masks = { causal, window, ...this.distances(q, all.k) };
      return this.attend(q, all.k, all.v, this.withRelative(input, q, all.k), masks);
    }
    if (this.sparse || this.relativeKeys) {
      throw new ArgumentError(
        "MultiHeadAttention: sparse and relativeKeys need rows of one length where there is a cache; generate rows of unequal lengths one by one",
      );
    }
    // One query a row, each at the end of its own keys: what it sees begins, but for a window, at the first. (The
    // slopes of ALiBi begin at the end of the longest: all scores of a row are off by the same, which changes nothing.)
    const first = window === undefined ? undefined : cache.firstSeen(window, x.device);
    return this.attend(q, all.k, all.v, input, { lengths: all.lengths, starts: first, slopes: this.slopes });
  }

  /** What queries see of keys, and how scores fall, by their places alone. */
  private distances(q: Tensor, k: Tensor): AttentionOptions {
    const { slopes, sparse } = this;
    const [queries, keys] = [q.shape[1]!, k.shape[1]!];
    if (sparse === undefined) return { slopes };
    const start = keys - queries;
    if (queries > 1 && start % sparse.blockSize !== 0) {
      throw new ArgumentError(
        `MultiHeadAttention: with a cache, sparse needs one token or a place at a multiple of ${sparse.blockSize}; got ${queries} tokens at ${start}`,
      );
    }
    const blocks = sparseBlocks(sparse, { queries, keys, start, device: q.device });
    return { slopes, blocks, blockSize: sparse.blockSize };
  }

  /** The input with the scores of relative positions in its bias. */
  private withRelative(input: AttentionInput, q: Tensor, k: Tensor): AttentionInput {
    if (this.relativeKeys === undefined) return input;
    const bias = this.relativeKeys(q, k.shape[1]!, this.scale);
    return { ...input, bias: input.bias ? add(input.bias, bias) : bias };
  }
}

/**
 * Multi-head attention of `x [B, T, C]` to a `memory [B, S, C]`, such as what an encoder made of its input.
 *
 * @see Vaswani et al. 2017, section 3.2.3
 */
export class CrossAttention extends Attention<[memory: Tensor | undefined, input?: CrossAttentionInput]> {
  query: Linear;
  keyValue: Linear;
  output: Linear;

  constructor(options: HeadOptions) {
    super("CrossAttention", options);
    this.query = this.projection(this.numHeads, options, options.queryStd);
    this.keyValue = this.projection(2 * this.numKeyValueHeads, options);
    this.output = this.outputProjection(options);
  }

  /** @param memory not needed where the cache remembers its keys and values */
  forward(x: Tensor, memory: Tensor | undefined, input: CrossAttentionInput = {}): Tensor {
    const project = () => this.project(memory);
    const [k, v] = input.cache ? input.cache.remember(project) : project();
    const q = send("q", this.heads(this.query(x), this.numHeads));
    return this.attend(q, send("k", k), send("v", v), input, { lengths: input.lengths });
  }

  /** Keys and values `[B, S, G, D]` of a memory. */
  private project(memory: Tensor | undefined): [k: Tensor, v: Tensor] {
    if (memory === undefined) throw new ArgumentError("CrossAttention: memory must be given; got none");
    const { numKeyValueHeads: G, headSize: D } = this;
    const [k, v] = split(this.keyValue(memory), [G * D, G * D]) as [Tensor, Tensor];
    return [this.heads(k, G), this.heads(v, G)];
  }

  /** Projects a memory once and for all tokens that come with this cache. */
  remember(memory: Tensor, cache: LayerCache): void {
    cache.remember(() => this.project(memory));
  }
}
