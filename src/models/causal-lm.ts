import type { TokenDataset } from "../data/token-dataset.ts";
import type { Decoding, Rows } from "../generate/decoding.ts";
import { send, within } from "../messages.ts";
import type { KeyValueCache } from "../nn/cache.ts";
import type { Embedding, LayerNorm, RMSNorm } from "../nn/layers.ts";
import type { Position } from "../nn/positions.ts";
import type { TransformerBlock } from "../nn/transformer.ts";
import { linearCrossEntropy } from "../ops/linearcrossentropy.ts";
import { linear } from "../ops/products.ts";
import { slice } from "../ops/views.ts";
import type { Tensor } from "../tensor.ts";
import { CausalDecoding } from "./causal-decoding.ts";
import { evaluating } from "./evaluating.ts";
import { GenerativePreTrainedModel } from "./generative.ts";
import { withLazyLogits } from "./lazy-logits.ts";

export interface HiddenInput {
  /** `[B, T]` i32: the first position that each one sees, for documents that share a row; see attention. */
  starts?: Tensor | undefined;
  /** Keys and values of the tokens before; those of `ids` join them. */
  cache?: KeyValueCache | undefined;
  /** With a cache: how many tokens of each row count, the rest is padding. Default all. */
  counts?: readonly number[] | undefined;
  /** Also gives what the embeddings and each layer send on. */
  outputHiddenStates?: boolean | undefined;
  /** Also gives the attention weights of each layer. */
  outputAttentions?: boolean | undefined;
}

export interface CausalLMInput extends HiddenInput {
  /** `[B, T]` i32: the token that follows each position; -100 counts for nothing. */
  targets?: Tensor;
  /** Logits of the last position only: for generation. */
  lastOnly?: boolean;
}

export interface HiddenOutput {
  /** `[B, T, C]`: what the last layer sends on, normalized. */
  x: Tensor;
  /** `[B, T, C]` of the embeddings and of each layer; the last one is `x`. */
  hiddenStates?: Tensor[];
  /** `[B, H, T, S]` of each layer. */
  attentions?: Tensor[];
}

export interface CausalLMOutput extends Omit<HiddenOutput, "x"> {
  /**
   * `[B, T, V]`, or `[B, 1, V]` of the last position.
   *
   * With targets they are made when first read, of the weights as they are then, and kept: a loss alone does without
   * them. The property is not enumerable, so that a scope that returns the whole output does not keep them; read them
   * inside of it.
   */
  readonly logits: Tensor;
  /** `[]` f32, mean cross entropy in nats; with targets only. */
  loss?: Tensor;
}

/** A model that continues a text, token by token: embeddings, causal blocks, a normalization, an output matrix. */
export abstract class CausalLM extends GenerativePreTrainedModel<
  [ids: Tensor, input?: CausalLMInput],
  CausalLMOutput
> {
  abstract readonly config: { readonly vocabSize: number; readonly contextLength: number };
  abstract tokens: Embedding;
  abstract blocks: TransformerBlock[];
  abstract norm: LayerNorm | RMSNorm;
  readonly isEncoderDecoder = false;

  /** `[V, C]` */
  abstract get outputWeight(): Tensor;

  /** Embeddings `[B, T, C]` of tokens from this position on. */
  protected abstract embed(ids: Tensor, position: Position): Tensor;

  /** @param ids `[B, T]` i32, T at most contextLength */
  forward(ids: Tensor, { targets, lastOnly = false, ...input }: CausalLMInput = {}): CausalLMOutput {
    const { x: all, ...states } = this.hidden(ids, input);
    const x = lastOnly ? slice(all, 1, -1) : all;
    const weight = this.outputWeight;
    if (targets === undefined) return { logits: send("logits", linear(x, weight)), ...states };
    return withLazyLogits({ loss: linearCrossEntropy(x, weight, targets), ...states }, x, weight);
  }

  /** What the layers make of the tokens, without the output matrix. */
  hidden(ids: Tensor, input: HiddenInput = {}): HiddenOutput {
    const { cache, starts, counts } = input;
    const position = cache?.position(ids.device) ?? 0;
    const end = cache && Math.max(...cache.counts) + ids.shape[1]!;
    const hiddenStates: Tensor[] = [];
    const attentions: Tensor[] = [];
    const weights = input.outputAttentions ? attentions : undefined;
    let x = this.embed(ids, position);
    for (const [i, block] of this.blocks.entries()) {
      hiddenStates.push(x);
      const rest = { starts, position, end, weights, cache: cache?.layers[i] };
      x = within(`layer.${i + 1}`, () => block(x, rest));
    }
    x = send("final.norm", this.norm(x));
    hiddenStates.push(x);
    cache?.advance(ids.shape[1]!, counts);
    return {
      x,
      ...(input.outputHiddenStates && { hiddenStates }),
      ...(input.outputAttentions && { attentions }),
    };
  }

  startDecoding({ batchSize, capacity }: { batchSize: number; capacity: number; inputs?: Rows }): Decoding {
    return new CausalDecoding(this, batchSize, capacity);
  }

  /**
   * Mean cross entropy over a whole data set, in nats per token, in evaluation mode. The event loop stays alive.
   *
   * @param options.batchSize windows of contextLength tokens at a time. Default 32
   */
  async evaluate(
    dataset: TokenDataset,
    options: { batchSize?: number; contextLength?: number; signal?: AbortSignal } = {},
  ): Promise<number> {
    const { contextLength = this.config.contextLength } = options;
    let total = 0;
    let count = 0;
    for (const { inputs, targets } of dataset.sequentialBatches({
      batchSize: options.batchSize ?? 32,
      contextLength,
      device: this.device,
    })) {
      options.signal?.throwIfAborted();
      const loss = evaluating(this, () => this(inputs, { targets }).loss!);
      total += (await loss.item()) * targets.size;
      count += targets.size;
      loss.dispose();
    }
    return total / count;
  }
}
