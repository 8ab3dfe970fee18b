import { within } from "../messages.ts";
import type { KeyValueCache } from "../nn/cache.ts";
import { Module } from "../nn/module.ts";
import type { TransformerBlock } from "../nn/transformer.ts";
import type { Tensor } from "../tensor.ts";

export interface StackInput {
  /** `[B]` i32: how many tokens of each row count; the rest is padding. */
  lengths?: Tensor | undefined;
  /** `[B, S, C]`: what the encoder made of its input, for the decoder. */
  memory?: Tensor | undefined;
  /** `[B]` i32: how many positions of the memory count; the rest is padding. */
  memoryLengths?: Tensor | undefined;
  /** Keys and values of the tokens before; the new ones join them. */
  cache?: KeyValueCache | undefined;
  /** With a cache: how many tokens of each row count, the rest is padding. Default all. */
  counts?: readonly number[] | undefined;
  /** Also gives what the embeddings and each layer send on. */
  outputHiddenStates?: boolean | undefined;
  /** Also gives the attention weights of each layer. */
  outputAttentions?: boolean | undefined;
}

export interface StackOutput {
  /** `[B, T, C]` */
  x: Tensor;
  /** `[B, T, C]` of the embeddings and of each layer; the last one is `x`. */
  hiddenStates?: Tensor[];
  /** `[B, H, T, T]` of each layer. */
  attentions?: Tensor[];
  /** `[B, H, T, S]` of each layer of a decoder. */
  crossAttentions?: Tensor[];
}

/** The layers of an encoder, or of a decoder, with what comes before the first one and after the last one. */
export abstract class Stack extends Module<[x: Tensor, input?: StackInput], StackOutput> {
  abstract blocks: TransformerBlock[];

  /** What the first layer gets, and what is added to the scores of self-attention in all layers. */
  protected abstract begin(x: Tensor, cache: KeyValueCache | undefined): { x: Tensor; bias?: Tensor };

  /** What becomes of the last layer's result. */
  protected end(x: Tensor): Tensor {
    return x;
  }

  /** @param embedded `[B, T, C]` vectors of the tokens */
  forward(embedded: Tensor, input: StackInput = {}): StackOutput {
    const { cache, counts, outputHiddenStates, outputAttentions, ...rest } = input;
    const [hiddenStates, attentions, crossAttentions]: Tensor[][] = [[], [], []];
    const weights = outputAttentions ? { weights: attentions, crossWeights: crossAttentions } : {};
    let { x, bias } = this.begin(embedded, cache);
    for (const [i, block] of this.blocks.entries()) {
      hiddenStates!.push(x);
      const all = { ...rest, ...weights, bias, cache: cache?.layers[i] };
      x = within(`layer.${i + 1}`, () => block(x, all));
    }
    x = this.end(x);
    hiddenStates!.push(x);
    cache?.advance(embedded.shape[1]!, counts);
    return {
      x,
      ...(outputHiddenStates && { hiddenStates: hiddenStates! }),
      ...(outputAttentions && { attentions: attentions!, crossAttentions: crossAttentions! }),
    };
  }

  /** Projects the memory once and for all tokens that come with this cache. */
  remember(memory: Tensor, cache: KeyValueCache): void {
    for (const [i, block] of this.blocks.entries()) {
      block.crossAttention?.remember(memory, cache.layers[i]!);
    }
  }
}
