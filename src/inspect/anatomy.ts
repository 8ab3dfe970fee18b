import { ArgumentError } from "../errors.ts";
import { Bert } from "../models/bert.ts";
import { BertForSequenceClassification } from "../models/bert-classification.ts";
import { BertForMaskedLM, BertForPreTraining } from "../models/bert-pretraining.ts";
import { BertForQuestionAnswering, BertForTokenClassification } from "../models/bert-token-heads.ts";
import { CausalLM } from "../models/causal-lm.ts";
import { Seq2SeqLM } from "../models/seq2seq-lm.ts";
import { T5Stack } from "../models/t5-stack.ts";
import type { AnyModule } from "../nn/module.ts";
import { LearnedPositions, SinusoidalPositions } from "../nn/positions.ts";
import type { TransformerBlock } from "../nn/transformer.ts";
import { linear } from "../ops/products.ts";
import type { Tensor } from "../tensor.ts";
import type { Body } from "./names.ts";

/** A stack of layers. */
export interface BodyAnatomy {
  readonly body: Body;
  readonly blocks: readonly TransformerBlock[];
  /** What its embeddings are made of. */
  readonly embeds: readonly ("token" | "position" | "type")[];
  readonly hasFinalNorm: boolean;
  /** Which text it reads. */
  readonly reads: "tokens" | "source";
  readonly vocabSize: number;
}

/** Values of the inputs of a run, as tensors. */
export interface ModelInputs {
  /** `[B, T]` i32 of the decoder, or of the only body. */
  readonly tokens: Tensor;
  /** `[B, S]` i32 */
  readonly source: Tensor | undefined;
  /** `[B]` i32: tokens of each row of an encoder that count. */
  readonly lengths: Tensor | undefined;
  /** `[B, T]` i32 */
  readonly tokenTypeIds: Tensor | undefined;
}

/** A vocabulary at the end of the stream. */
export interface Unembedding {
  /** Of logits, V. */
  readonly size: number;
  /** From the stream as the last layer sends it, `[..., C]`, to logits `[..., V]`. */
  logits(x: Tensor): Tensor;
}

/** What there is to trace in a model. */
export interface Anatomy {
  readonly model: AnyModule;
  readonly kind: "decoder" | "encoder" | "encoder-decoder";
  /** In the order in which they run; the last one leads to the logits. */
  readonly bodies: readonly BodyAnatomy[];
  readonly hiddenSize: number;
  /** `[T, V]` of tokens, `[T, L]` of classes, `[L]` of a whole text; undefined where it has none of that name. */
  readonly logitsShape: ((T: number) => readonly number[]) | undefined;
  readonly unembedding: Unembedding | undefined;
  readonly decoderStartTokenId: number | undefined;
  run(inputs: ModelInputs): unknown;
}

const hasPositions = (module: object): boolean =>
  Object.values(module).some(
    (part) => part instanceof LearnedPositions || part instanceof SinusoidalPositions,
  );

/** @throws ERR_ARGUMENT for what is no model of this library */
export function anatomyOf(model: AnyModule): Anatomy {
  if (model instanceof CausalLM) return ofCausalLM(model);
  if (model instanceof Seq2SeqLM) return ofSeq2SeqLM(model);
  const bert = model instanceof Bert ? model : (model as { bert?: unknown } | undefined)?.bert;
  if (bert instanceof Bert) return ofBert(model, bert);
  throw new ArgumentError(
    `trace: model must be a CausalLM, a Seq2SeqLM, a Bert or a model with one; got ${model?.constructor?.name ?? String(model)}`,
  );
}

function ofCausalLM(model: CausalLM): Anatomy {
  const { vocabSize } = model.config;
  const [V, C] = model.outputWeight.shape as [number, number];
  const body = {
    ...({ body: "", reads: "tokens", hasFinalNorm: true, vocabSize } as const),
    blocks: model.blocks,
    embeds: hasPositions(model) ? (["token", "position"] as const) : (["token"] as const),
  };
  return {
    ...{ model, kind: "decoder", bodies: [body], hiddenSize: C, decoderStartTokenId: undefined },
    logitsShape: (T) => [T, V],
    unembedding: { size: V, logits: (x) => linear(model.norm(x), model.outputWeight) },
    run: ({ tokens }) => model(tokens),
  };
}

function ofSeq2SeqLM(model: Seq2SeqLM): Anatomy {
  const { vocabSize, decoderStartTokenId } = model.config;
  const [V, C] = model.outputWeight.shape as [number, number];
  const side = (name: "encoder" | "decoder"): BodyAnatomy => ({
    body: `${name}.`,
    blocks: model[name].blocks,
    embeds: hasPositions(model[name]) ? ["token", "position"] : ["token"],
    hasFinalNorm: model[name] instanceof T5Stack,
    reads: name === "encoder" ? "source" : "tokens",
    vocabSize: name === "encoder" ? vocabSize : V,
  });
  const { decoder } = model;
  const last = (x: Tensor) => (decoder instanceof T5Stack ? decoder.norm(x) : x);
  return {
    ...{ model, kind: "encoder-decoder", hiddenSize: C, decoderStartTokenId },
    bodies: [side("encoder"), side("decoder")],
    logitsShape: (T) => [T, V],
    unembedding: {
      size: V,
      logits: (x) => linear(model.outputOf(last(x)), model.outputWeight, model.outputBias),
    },
    run: ({ tokens, source, lengths }) => model(source!, { decoderInputIds: tokens, lengths }),
  };
}

function ofBert(model: AnyModule, bert: Bert): Anatomy {
  const { hiddenSize, vocabSize } = bert.config;
  const body = {
    ...({ body: "", reads: "tokens", hasFinalNorm: false, vocabSize } as const),
    blocks: bert.blocks,
    embeds: (["token", "position", "type"] as const).filter((e) => e !== "type" || bert.tokenTypes),
  };
  const head = model instanceof BertForMaskedLM || model instanceof BertForPreTraining ? model : undefined;
  const { weight } = bert.tokens;
  return {
    ...{ model, kind: "encoder", bodies: [body], hiddenSize, decoderStartTokenId: undefined },
    logitsShape: logitsOfBert(model, vocabSize),
    unembedding: head && {
      size: vocabSize,
      logits: (x) => linear(head.predictions(x), weight, head.predictions.bias),
    },
    run: ({ tokens, ...rest }) => (model as Bert)(tokens, rest),
  };
}

function logitsOfBert(model: AnyModule, vocabSize: number): Anatomy["logitsShape"] {
  if (model instanceof BertForMaskedLM || model instanceof BertForPreTraining) return (T) => [T, vocabSize];
  if (model instanceof BertForTokenClassification) return (T) => [T, model.labels.length];
  if (model instanceof BertForQuestionAnswering) return (T) => [T, 2];
  if (model instanceof BertForSequenceClassification) return () => [model.labels.length];
  return undefined;
}
