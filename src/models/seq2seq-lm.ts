import { shiftRight } from "../data/seq2seq.ts";
import { ArgumentError, DtypeError, ShapeError } from "../errors.ts";
import type { Decoding, Rows } from "../generate/decoding.ts";
import { send, within } from "../messages.ts";
import { linearCrossEntropy } from "../ops/linearcrossentropy.ts";
import { linear } from "../ops/products.ts";
import { showShape } from "../shape.ts";
import { type Tensor, tensor } from "../tensor.ts";
import { GenerativePreTrainedModel } from "./generative.ts";
import { withLazyLogits } from "./lazy-logits.ts";
import { Seq2SeqDecoding } from "./seq2seq-decoding.ts";
import type { Stack, StackInput, StackOutput } from "./seq2seq-stack.ts";

export interface EncodeInput {
  /** `[B]` i32: how many input tokens of each row count; the rest is padding. Default all. */
  lengths?: Tensor | undefined;
}

export interface Seq2SeqInput extends EncodeInput {
  /**
   * `[B, T]` i32: what the decoder is given. Default: `labels`, shifted right; if they were computed, or lie on a GPU,
   * that waits for them.
   */
  decoderInputIds?: Tensor | undefined;
  /** `[B, T]` i32: the token that each position of the decoder is to give; -100 counts for nothing. */
  labels?: Tensor | undefined;
  /** ε of the loss: each label has probability 1 − ε, and ε is spread over the vocabulary. Default 0. */
  labelSmoothing?: number | undefined;
  /** Also gives what the embeddings and each layer send on. */
  outputHiddenStates?: boolean | undefined;
  /** Also gives the attention weights of each layer. */
  outputAttentions?: boolean | undefined;
}

/** With B rows of S input tokens and T of the decoder; the lists have an entry for each layer. */
export interface Seq2SeqOutput {
  /**
   * `[B, T, V]`.
   *
   * With labels they are made when first read, of the weights as they are then, and kept: a loss alone does without
   * them. The property is not enumerable, so that a scope that returns the whole output does not keep them; read them
   * inside of it.
   */
  readonly logits: Tensor;
  /** `[]` f32, mean cross entropy in nats; with labels only. */
  loss?: Tensor;
  /** `[B, S, C]` */
  encoderLastHiddenState: Tensor;
  /** `[B, S, C]` of the embeddings and of each layer. */
  encoderHiddenStates?: Tensor[];
  /** `[B, T, C]` of the embeddings and of each layer. */
  decoderHiddenStates?: Tensor[];
  /** `[B, H, S, S]` */
  encoderAttentions?: Tensor[];
  /** `[B, H, T, T]` */
  decoderAttentions?: Tensor[];
  /** `[B, H, T, S]` */
  crossAttentions?: Tensor[];
}

export interface Seq2SeqConfig {
  /** Of the input. */
  readonly vocabSize: number;
  /** Of the output, where it differs. */
  readonly decoderVocabSize?: number | undefined;
  /** Stands in the decoder's input for labels that count for nothing. */
  readonly padTokenId: number;
  /** What the decoder begins with. */
  readonly decoderStartTokenId: number;
  /** The most positions, if that is bounded. */
  readonly contextLength?: number | undefined;
}

/** A model that reads one sequence with an encoder and writes another with a decoder, token by token. */
export abstract class Seq2SeqLM extends GenerativePreTrainedModel<
  [inputIds: Tensor, input?: Seq2SeqInput],
  Seq2SeqOutput
> {
  abstract readonly config: Seq2SeqConfig;
  abstract encoder: Stack;
  abstract decoder: Stack;
  readonly isEncoderDecoder = true;

  get contextLength(): number | undefined {
    return this.config.contextLength;
  }

  /** `[V, C]` */
  abstract get outputWeight(): Tensor;

  /** `[V]`, added to the logits. */
  get outputBias(): Tensor | undefined {
    return undefined;
  }

  /** Vectors `[B, T, C]` of tokens. */
  protected abstract embed(ids: Tensor, side: "encoder" | "decoder"): Tensor;

  /** @internal What the output matrix multiplies: the decoder's result. */
  outputOf(x: Tensor): Tensor {
    return x;
  }

  /**
   * @param inputIds `[B, S]` i32
   * @throws ERR_ARGUMENT if neither `labels` nor `decoderInputIds` are given
   */
  forward(inputIds: Tensor, input: Seq2SeqInput = {}): Seq2SeqOutput {
    const { decoderInputIds, labels, labelSmoothing = 0, lengths, ...outputs } = input;
    const decoderIds = decoderInputIds ?? this.shiftedRight(labels);
    const encoded = this.run("encoder", inputIds, { lengths, ...outputs });
    const memory = { memory: encoded.x, memoryLengths: lengths };
    const decoded = this.run("decoder", decoderIds, { ...memory, ...outputs });
    const x = this.outputOf(decoded.x);
    const states = {
      encoderLastHiddenState: encoded.x,
      ...(encoded.hiddenStates && { encoderHiddenStates: encoded.hiddenStates }),
      ...(decoded.hiddenStates && { decoderHiddenStates: decoded.hiddenStates }),
      ...(encoded.attentions && { encoderAttentions: encoded.attentions }),
      ...(decoded.attentions && { decoderAttentions: decoded.attentions }),
      ...(decoded.crossAttentions && { crossAttentions: decoded.crossAttentions }),
    };
    const { outputWeight, outputBias } = this;
    if (labels === undefined)
      return { logits: send("logits", linear(x, outputWeight, outputBias)), ...states };
    const bias = outputBias ? { bias: outputBias } : {};
    const loss = linearCrossEntropy(x, outputWeight, labels, { ...bias, labelSmoothing });
    return withLazyLogits({ loss, ...states }, x, outputWeight, outputBias);
  }

  private run(side: "encoder" | "decoder", ids: Tensor, input: StackInput = {}): StackOutput {
    return within(side, () => this[side](send("embed.token", this.embed(ids, side)), input));
  }

  /** What the encoder makes of the input: `[B, S]` i32 → `[B, S, C]`. */
  encode(inputIds: Tensor, { lengths }: EncodeInput = {}): Tensor {
    return this.run("encoder", inputIds, { lengths }).x;
  }

  /** @internal What the decoder sends to the output matrix, for new tokens `[B, T]` i32 behind those of the cache. */
  decode(ids: Tensor, input: Parameters<Stack["forward"]>[1]): Tensor {
    return this.outputOf(this.run("decoder", ids, input).x);
  }

  private shiftedRight(labels: Tensor | undefined): Tensor {
    const name = this.constructor.name;
    if (labels === undefined) {
      throw new ArgumentError(`${name}: labels or decoderInputIds must be given; got neither`);
    }
    if (labels.rank !== 2) {
      throw new ShapeError(`${name}: labels must be [B, T]; got ${showShape(labels.shape)}`);
    }
    if (labels.dtype !== "i32") throw new DtypeError(`${name}: labels must be i32; got ${labels.dtype}`);
    const shifted = shiftRight(idsOf(labels), labels.shape as [number, number], this.config);
    return tensor(shifted, labels.shape, { device: labels.device });
  }

  /** @throws ERR_ARGUMENT unless there is a row of inputs for each row of the batch, with at least one token */
  startDecoding(options: { batchSize: number; capacity: number; inputs?: Rows }): Decoding {
    return new Seq2SeqDecoding(this, options);
  }
}

/** The values of a tensor of ids. An array that it has adopted and that nothing wrote to since is not waited for. */
function idsOf(t: Tensor): Int32Array {
  const { source, version } = t.storage;
  const isPlain = source !== undefined && version === 0 && t.isContiguous;
  return isPlain
    ? (source as Int32Array).subarray(t.offset, t.offset + t.size)
    : (t.toTypedArraySync() as Int32Array);
}
