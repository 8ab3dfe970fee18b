import type { Device } from "../device.ts";
import {
  ArgumentError,
  AutoModel,
  CausalLM,
  CharTokenizer,
  CheckpointError,
  fromGGUFTokenizer,
  type LoadOptions,
  openGGUF,
  Seq2SeqLM,
  Tokenizer,
} from "../index.ts";
import { defaultsTo, device, oneOf, text } from "./options.ts";

/** The options of a command that runs a model. */
export const modelOptions = {
  model: defaultsTo(
    "run",
    text("FOLDER", "what trainformer train or Hugging Face has saved, or a GGUF file"),
  ),
  device: defaultsTo("cpu", device("that computes")),
  dtype: defaultsTo("f32", oneOf(["f32", "bf16"], "in which the model computes")),
};

export type AnyTokenizer = CharTokenizer | Tokenizer;
export type AnyModel = Awaited<ReturnType<typeof AutoModel.fromPretrained>>;

/**
 * The model of a folder or a GGUF file, of whatever class that says.
 *
 * @throws CheckpointError
 */
export async function loadModel(
  location: string,
  where: { device: Device } & LoadOptions,
): Promise<AnyModel> {
  return (await AutoModel.fromPretrained(location, { dtype: where.dtype ?? "f32" })).to(where.device);
}

/**
 * A model that writes.
 *
 * @throws CheckpointError, also on one that does not write
 */
export async function loadGenerativeModel(
  location: string,
  where: { device: Device } & LoadOptions,
): Promise<CausalLM | Seq2SeqLM> {
  const model: unknown = await loadModel(location, where);
  if (model instanceof CausalLM || model instanceof Seq2SeqLM) return model;
  const name = (model as AnyModel).constructor.name;
  throw new CheckpointError(`${location}: must hold a model that writes; got ${name}`);
}

/**
 * The tokenizer that lies with a model: of characters, as `trainformer train` saves it, or any of Hugging Face's kinds.
 *
 * @throws CheckpointError
 */
export async function loadTokenizer(location: string): Promise<AnyTokenizer> {
  if (location.endsWith(".gguf")) {
    const { tokenizer, config } = fromGGUFTokenizer(await openGGUF(location));
    return new Tokenizer(tokenizer, optionsOf(config), location);
  }
  return CharTokenizer.load(location).catch(() => Tokenizer.fromPretrained(location));
}

const names = { bos_token: "bosToken", eos_token: "eosToken", unk_token: "unkToken", pad_token: "padToken" };

/** What a GGUF file says of its tokenizer beside the tokenizer.json. */
function optionsOf(config: Record<string, unknown>): Record<string, string> {
  const ours: Record<string, string> = { ...names, chat_template: "chatTemplate" };
  return Object.fromEntries(Object.entries(config).map(([name, value]) => [ours[name]!, value as string]));
}

/** @throws CheckpointError if the tokenizer has ids for which the model has no row */
export function checkVocabulary(location: string, tokenizer: AnyTokenizer, vocabSize: number): void {
  if (tokenizer.size <= vocabSize) return;
  const sizes = `${tokenizer.size} tokens, the model ${vocabSize}`;
  throw new CheckpointError(`${location}: the tokenizer has ${sizes}`);
}

/** @throws ArgumentError on characters that a tokenizer of characters does not have */
export function checkCharacters(
  name: string,
  given: string,
  tokenizer: AnyTokenizer,
  location: string,
): void {
  if (!(tokenizer instanceof CharTokenizer) || tokenizer.unknown !== undefined) return;
  const foreign = [...new Set(given)].filter((character) => !tokenizer.vocabulary.includes(character));
  if (foreign.length === 0) return;
  const list = foreign.map((character) => JSON.stringify(character)).join(", ");
  throw new ArgumentError(`${name} must have characters of the vocabulary of ${location} only; got ${list}`);
}
