import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { CheckpointError } from "../errors.ts";
import { writeAtomically } from "../io/files.ts";
import { Fields } from "./fields.ts";
import { type NewToken, type SpecialTokenName, specialTokenNames, specialTokenOf } from "./special-tokens.ts";
import type { TokenizerOptions } from "./tokenizer.ts";
import { byteLevelTokenizerJSON, wordPieceTokenizerJSON } from "./vocabulary-files.ts";

/** What a folder says of a tokenizer. */
export interface TokenizerFolder {
  readonly json: object;
  readonly options: TokenizerOptions;
  readonly source: string;
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new CheckpointError(`${path}: cannot be read: ${message}`, { cause });
  }
}

async function readObject(path: string): Promise<Fields | undefined> {
  const text = await readText(path);
  return text === undefined ? undefined : new Fields(parse(text, path), path);
}

function parse(text: string, path: string): object {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError(`${path}: is no JSON: ${(cause as Error).message}`, { cause });
  }
}

/** Ids above this mean that the model has no limit. */
const noLimit = 1e9;

function optionsOf(
  config: Fields | undefined,
  map: Fields | undefined,
  jinja: string | undefined,
): TokenizerOptions {
  const options: TokenizerOptions = {};
  const special: [SpecialTokenName, NewToken | undefined][] = [];
  for (const [name, key] of Object.entries(specialTokenNames) as [SpecialTokenName, string][]) {
    special.push([name, (config && specialTokenOf(config, key)) ?? (map && specialTokenOf(map, key))]);
  }
  for (const [name, token] of special) if (token !== undefined) options[name] = token;
  const extra = [config, map].flatMap((fields) =>
    ["extra_special_tokens", "additional_special_tokens"].flatMap((key) => extraTokens(fields, key)),
  );
  if (extra.length > 0) options.extraSpecialTokens = extra;
  const limit = config?.get("model_max_length");
  if (limit !== undefined) {
    if (typeof limit !== "number" || !(limit >= 1))
      throw config!.error("model_max_length", "a number of at least 1");
    if (limit < noLimit) options.modelMaxLength = Math.floor(limit);
  }
  const sides = { left: "left", right: "right" } as const;
  if (config?.get("padding_side")) options.paddingSide = config.choice("padding_side", sides);
  if (config?.get("truncation_side")) options.truncationSide = config.choice("truncation_side", sides);
  if (config) options.cleanUpTokenizationSpaces = config.boolean("clean_up_tokenization_spaces", false);
  const template = jinja ?? (config && chatTemplateOf(config));
  if (template !== undefined) options.chatTemplate = template;
  return options;
}

/** A list of tokens, or an object whose values are tokens. */
function extraTokens(fields: Fields | undefined, key: string): NewToken[] {
  const value = fields?.get(key);
  if (fields === undefined || value === undefined) return [];
  const entries = Array.isArray(value) ? { ...value } : value;
  const tokens = new Fields(entries, `${fields.path}: ${key}`);
  return tokens.entries().flatMap(([name]) => specialTokenOf(tokens, name) ?? []);
}

/** A template, or a list of templates with names of which one is the default. */
function chatTemplateOf(config: Fields): string | undefined {
  const value = config.get("chat_template");
  if (!Array.isArray(value)) return config.optionalString("chat_template");
  const named = config.objects("chat_template").find((entry) => entry.string("name") === "default");
  return named?.string("template");
}

/** Adds the tokens of `added_tokens_decoder` and added_tokens.json, which older folders have beside a vocabulary. */
function withAddedTokens(json: object, config: Fields | undefined, added: Fields | undefined): object {
  const decoder = config?.optionalObject("added_tokens_decoder");
  const tokens = [
    ...(added?.entries().map(([content]) => ({ content, id: added.integer(content), special: false })) ?? []),
    ...(decoder?.entries().map(([id, token]) => ({ ...(token as object), id: Number(id) })) ?? []),
  ];
  return { ...json, added_tokens: tokens };
}

/**
 * Reads the files of a tokenizer.
 *
 * @throws CheckpointError where there are none, and on one that is malformed
 */
export async function readTokenizerFolder(directory: string): Promise<TokenizerFolder> {
  const path = (name: string) => join(directory, name);
  const config = await readObject(path("tokenizer_config.json"));
  const map = await readObject(path("special_tokens_map.json"));
  const options = optionsOf(config, map, await readText(path("chat_template.jinja")));
  const source = path("tokenizer.json");
  const text = await readText(source);
  if (text !== undefined) {
    const json = parse(text, source);
    const model = (json as { model?: { type?: unknown } } | null)?.model;
    if (model?.type === "BPE") delete options.cleanUpTokenizationSpaces; // it is meant for WordPiece and breaks BPE
    return { json, options, source };
  }

  const added = await readObject(path("added_tokens.json"));
  const vocabulary = await readObject(path("vocab.json"));
  const merges = await readText(path("merges.txt"));
  if (vocabulary && merges !== undefined) {
    const made = byteLevelTokenizerJSON(vocabulary, merges, path("merges.txt"), config);
    const json = withAddedTokens(made.json, config, added);
    delete options.cleanUpTokenizationSpaces;
    return { json, options: { ...made.options, ...options }, source: path("vocab.json") };
  }
  const words = await readText(path("vocab.txt"));
  if (words !== undefined) {
    const made = wordPieceTokenizerJSON(words, path("vocab.txt"), config);
    const json = withAddedTokens(made.json, config, added);
    return { json, options: { ...made.options, ...options }, source: path("vocab.txt") };
  }
  throw new CheckpointError(
    `${directory} must hold tokenizer.json, or vocab.json and merges.txt, or vocab.txt; it has none of them`,
  );
}

/** What is written of a tokenizer beside its tokenizer.json. */
export type WrittenOptions = Pick<
  TokenizerOptions,
  "paddingSide" | "truncationSide" | "cleanUpTokenizationSpaces" | "modelMaxLength" | "chatTemplate"
>;

/** @throws CheckpointError with the cause when a file cannot be written */
export async function writeTokenizerFolder(
  directory: string,
  json: object,
  specialTokens: Readonly<Record<string, string>>,
  options: { readonly [key in keyof WrittenOptions]?: WrittenOptions[key] | undefined },
): Promise<void> {
  try {
    await mkdir(directory, { recursive: true });
  } catch (cause) {
    throw new CheckpointError(`${directory}: cannot be made: ${(cause as Error).message}`, { cause });
  }
  const config = {
    tokenizer_class: "PreTrainedTokenizerFast",
    ...specialTokens,
    model_max_length: options.modelMaxLength,
    padding_side: options.paddingSide,
    truncation_side: options.truncationSide,
    clean_up_tokenization_spaces: options.cleanUpTokenizationSpaces,
    chat_template: options.chatTemplate,
  };
  const files = {
    "tokenizer.json": json,
    "tokenizer_config.json": config,
    "special_tokens_map.json": specialTokens,
  };
  for (const [name, content] of Object.entries(files)) {
    const text = `${JSON.stringify(content, null, 2)}\n`;
    await writeAtomically(join(directory, name), [Buffer.from(text)]);
  }
}
