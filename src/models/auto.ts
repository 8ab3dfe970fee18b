import { CheckpointError } from "../errors.ts";
import { Bart } from "./bart.ts";
import { Bert } from "./bert.ts";
import { BertForSequenceClassification } from "./bert-classification.ts";
import { BertForMaskedLM, BertForPreTraining } from "./bert-pretraining.ts";
import { BertForQuestionAnswering, BertForTokenClassification } from "./bert-token-heads.ts";
import type { CausalLM } from "./causal-lm.ts";
import { GPT } from "./gpt.ts";
import { Llama } from "./llama.ts";
import { readConfig } from "./open-model.ts";
import type { PreTrainedModel } from "./pretrained.ts";
import type { Seq2SeqLM } from "./seq2seq-lm.ts";
import { T5 } from "./t5.ts";

/** What every class of models has. */
interface Loader<M> {
  fromPretrained(location: string, options?: LoadOptions): Promise<M>;
}

export interface LoadOptions {
  /** In which the model computes; see GPTConfig. Default "f32". */
  dtype?: "f32" | "bf16";
}

type AnyModel = PreTrainedModel<never[], unknown>;

const causal: Readonly<Record<string, Loader<CausalLM>>> = {
  gpt2: GPT,
  llama: Llama,
  mistral: Llama,
  qwen2: Llama,
  qwen3: Llama,
};

const seq2seq: Readonly<Record<string, Loader<Seq2SeqLM>>> = { t5: T5, bart: Bart, marian: Bart };

const heads: Readonly<Record<string, Loader<AnyModel>>> = {
  Model: Bert,
  ForMaskedLM: BertForMaskedLM,
  ForSequenceClassification: BertForSequenceClassification,
  ForTokenClassification: BertForTokenClassification,
  ForQuestionAnswering: BertForQuestionAnswering,
};
const encoders: Readonly<Record<string, Loader<AnyModel>>> = {
  BertForPreTraining,
  ...Object.fromEntries(
    ["Bert", "Roberta", "DistilBert"].flatMap((family) =>
      Object.entries(heads).map(([head, model]) => [family + head, model]),
    ),
  ),
};

/** Takes what a key of `config.json` names from a table of classes. */
function choose<M>(location: string, key: string, name: unknown, table: Readonly<Record<string, M>>): M {
  if (typeof name === "string" && Object.hasOwn(table, name)) return table[name]!;
  const known = Object.keys(table).join(", ");
  throw new CheckpointError(`${location}: ${key} must be one of ${known}; got ${JSON.stringify(name)}`);
}

async function modelType(location: string): Promise<unknown> {
  return (await readConfig(location)).values.model_type;
}

/**
 * A model of whatever class its folder, or GGUF file, says.
 *
 * @throws ERR_CHECKPOINT on a class that is not here
 */
export const AutoModel: Loader<AnyModel> = {
  async fromPretrained(location, options = {}) {
    const { values } = await readConfig(location);
    const type = values.model_type;
    const generative = { ...causal, ...seq2seq } as unknown as Record<string, Loader<AnyModel>>;
    if (typeof type === "string" && Object.hasOwn(generative, type)) {
      return generative[type]!.fromPretrained(location, options);
    }
    const name = Array.isArray(values.architectures) ? values.architectures[0] : undefined;
    return choose(location, "architectures", name, encoders).fromPretrained(location, options);
  },
};

/** A decoder-only model of whatever class its folder, or GGUF file, says. @throws ERR_CHECKPOINT on another */
export const AutoModelForCausalLM: Loader<CausalLM> = {
  async fromPretrained(location, options = {}) {
    const model = choose(location, "model_type", await modelType(location), causal);
    return model.fromPretrained(location, options);
  },
};

/** An encoder–decoder model of whatever class its folder says. @throws ERR_CHECKPOINT on another */
export const AutoModelForSeq2SeqLM: Loader<Seq2SeqLM> = {
  async fromPretrained(location, options = {}) {
    const model = choose(location, "model_type", await modelType(location), seq2seq);
    return model.fromPretrained(location, options);
  },
};
