import { ArgumentError, CheckpointError, show } from "../errors.ts";
import type { GGUF } from "../io/gguf.ts";
import type { GGUFValue } from "../io/gguf-types.ts";
import { isRecord } from "../io/stored-tensor.ts";
import { byteLevelPipelines, sentencePiecePipeline } from "./gguf-pre-tokenizers.ts";

type Json = Record<string, unknown>;

/** What `tokenizer.json` and `tokenizer_config.json` would hold. */
export interface TokenizerFiles {
  tokenizer: Json;
  config: Json;
}

/** Of `tokenizer.ggml.token_type`. */
const tokenTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

const special = { bos: "bos", eos: "eos", unk: "unknown", pad: "padding" } as const;

/**
 * The tokenizer in a GGUF file, as Hugging Face would have stored it: byte-level BPE ("gpt2") split as GPT-2, Llama 3,
 * Qwen 2 or SmolLM do, or SentencePiece's BPE ("llama"), whose merges follow from the scores of its tokens.
 *
 * @throws ERR_CHECKPOINT on any other kind, or where tokens or merges are missing
 */
export function fromGGUFTokenizer({ metadata, source }: GGUF): TokenizerFiles {
  const given = (name: string) => metadata.get(`tokenizer.ggml.${name}`)?.value;
  const fail = (name: string, expected: string): never => {
    const problem = `tokenizer.ggml.${name} must be ${expected}; got ${show(given(name))}`;
    throw new CheckpointError(`${source}: ${problem}`);
  };
  const strings = (name: string): readonly string[] => {
    const list = metadata.get(`tokenizer.ggml.${name}`);
    return list?.type === "array" && list.of === "string" ? list.value : fail(name, "a list of strings");
  };
  const tokens = strings("tokens");
  const numbers = (name: string): ArrayLike<number> | undefined => {
    const list = metadata.get(`tokenizer.ggml.${name}`);
    if (list === undefined) return undefined;
    const isList = list.type === "array" && (list.of === "f32" || list.of === "i32" || list.of === "u32");
    if (!isList || list.value.length !== tokens.length)
      return fail(name, `a number for each of ${tokens.length} tokens`);
    return list.value as Float32Array;
  };
  const types = numbers("token_type");
  const idOf = (name: string): number | undefined => {
    const id = given(`${name}_token_id`);
    if (id === undefined) return undefined;
    return typeof id === "number" && id in tokens
      ? id
      : fail(`${name}_token_id`, `the place of one of ${tokens.length} tokens`);
  };
  const vocab = new Map(tokens.map((token, id) => [token, id]));
  const config: Json = {};
  for (const [theirs, ours] of Object.entries(special)) {
    const id = idOf(ours);
    if (id !== undefined) config[`${theirs}_token`] = tokens[id];
  }
  const template = metadata.get("tokenizer.chat_template");
  if (template?.type === "string") config.chat_template = template.value;

  const kind = given("model");
  const isSentencePiece = kind === "llama";
  if (!isSentencePiece && kind !== "gpt2") fail("model", 'one of "gpt2", "llama"');
  const flag = (name: string, fallback: boolean) => {
    const value = given(name) ?? fallback;
    return typeof value === "boolean" ? value : fail(name, "true or false");
  };
  const ends = (name: string, id: number | undefined, fallback: boolean) =>
    id !== undefined && flag(name, fallback) ? [{ id, token: tokens[id]! }] : [];
  const [begin, end] = [
    ends("add_bos_token", idOf("bos"), isSentencePiece),
    ends("add_eos_token", idOf("eos"), false),
  ];
  const parts = isSentencePiece
    ? sentencePieceParts(
        tokens,
        vocab,
        numbers("scores") ?? fail("scores", "the score of each token"),
        {
          unknown: idOf("unknown"),
          prefix: flag("add_space_prefix", true),
        },
        fail,
      )
    : byteLevelParts(given("pre"), strings("merges"), fail);
  const isAdded = (id: number) => {
    const type = types?.[id] ?? tokenTypes.normal;
    return type === tokenTypes.control || type === tokenTypes.userDefined || type === tokenTypes.unknown;
  };
  const added = tokens.flatMap((content, id) => {
    if (!isAdded(id)) return [];
    const isSpecial = types?.[id] !== tokenTypes.userDefined;
    return {
      id,
      content,
      ...{ single_word: false, lstrip: false, rstrip: false, normalized: false },
      special: isSpecial,
    };
  });
  const { model, post_processor: ownPostProcessor, ...rest } = parts;
  return {
    tokenizer: {
      ...{ version: "1.0", truncation: null, padding: null, added_tokens: added, ...rest },
      post_processor: begin.length + end.length > 0 ? templateOf(begin, end) : ownPostProcessor,
      model: { ...model, vocab: Object.fromEntries(vocab) },
    },
    config,
  };
}

interface Parts {
  normalizer: unknown;
  pre_tokenizer: unknown;
  post_processor: unknown;
  decoder: unknown;
  model: Json;
}

const bpe = {
  ...{ type: "BPE", dropout: null, unk_token: null, continuing_subword_prefix: null },
  ...{ end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, ignore_merges: false },
};

function byteLevelParts(
  pre: unknown,
  merges: readonly string[],
  fail: (name: string, expected: string) => never,
): Parts {
  const pipeline = byteLevelPipelines.find(({ names }) => names.includes((pre ?? "gpt-2") as string));
  if (pipeline === undefined) {
    return fail("pre", `one of ${byteLevelPipelines.flatMap(({ names }) => names).join(", ")}`);
  }
  const pairs = merges.map((merge) => {
    const pair = merge.split(" ");
    return pair.length === 2 ? pair : fail("merges", `pairs of tokens; got ${show(merge)} among them`);
  });
  const { parts, ignoreMerges } = pipeline;
  return { ...parts, model: { ...bpe, ignore_merges: ignoreMerges, merges: pairs } };
}

/** Finding the merges of a token takes time by the square of its length. */
const maxPiece = 512;

/** SentencePiece merges the two neighbours whose union has the highest score: every way to make a token is a merge. */
function sentencePieceParts(
  tokens: readonly string[],
  vocab: ReadonlyMap<string, number>,
  scores: ArrayLike<number>,
  { unknown, prefix }: { unknown: number | undefined; prefix: boolean },
  fail: (name: string, expected: string) => never,
): Parts {
  const merges: { pair: [string, string]; score: number; parts: [number, number] }[] = [];
  for (const [id, token] of tokens.entries()) {
    if (token.length > maxPiece)
      return fail(
        "tokens",
        `of at most ${maxPiece} characters, to find their merges; got ${show(token)} among them`,
      );
    let length = 0;
    for (const character of token) {
      length += character.length;
      if (length === token.length) break;
      const pair: [string, string] = [token.slice(0, length), token.slice(length)];
      const [left, right] = [vocab.get(pair[0]), vocab.get(pair[1])];
      if (left === undefined || right === undefined) continue;
      merges.push({ pair, score: scores[id]!, parts: [scores[left]!, scores[right]!] });
    }
  }
  merges.sort((a, b) => b.score - a.score || b.parts[0] - a.parts[0] || b.parts[1] - a.parts[1]);
  const unk = unknown === undefined ? null : tokens[unknown];
  return {
    ...sentencePiecePipeline(prefix),
    model: {
      ...bpe,
      unk_token: unk,
      fuse_unk: true,
      byte_fallback: true,
      merges: merges.map(({ pair }) => pair),
    },
  };
}

interface Placed {
  id: number;
  token: string;
}

function templateOf(begin: readonly Placed[], end: readonly Placed[]): Json {
  const around = (sequences: readonly string[]) =>
    sequences.flatMap((id, type_id) => [
      ...begin.map(({ token }) => ({ SpecialToken: { id: token, type_id } })),
      { Sequence: { id, type_id } },
      ...end.map(({ token }) => ({ SpecialToken: { id: token, type_id } })),
    ]);
  const tokens = [...begin, ...end].map(({ id, token }) => [
    token,
    { id: token, ids: [id], tokens: [token] },
  ]);
  return {
    ...{ type: "TemplateProcessing", single: around(["A"]), pair: around(["A", "B"]) },
    special_tokens: Object.fromEntries(tokens),
  };
}

/**
 * The metadata of a GGUF file that a tokenizer becomes.
 *
 * @param files what is in `tokenizer.json` and `tokenizer_config.json`
 * @param vocabSize rows of the embedding, if they are more than the tokens; those left over are unused
 * @throws ERR_ARGUMENT on what llama.cpp has no place for: another model than BPE, another way to split text
 */
export function toGGUFTokenizer(
  { tokenizer, config }: TokenizerFiles,
  vocabSize = 0,
): Map<string, GGUFValue> {
  const fail = (problem: string): never => {
    throw new ArgumentError(`toGGUF: tokenizer ${problem}`);
  };
  const { model, added_tokens: addedTokens = [] } = tokenizer;
  if (!isRecord(model) || model.type !== "BPE" || !isRecord(model.vocab) || !Array.isArray(model.merges))
    return fail(`must have a model of type BPE; got ${show(isRecord(model) ? model.type : model)}`);
  const pairs = model.merges.map((merge: unknown) =>
    Array.isArray(merge) ? (merge as string[]) : String(merge).split(" "),
  );
  const added = addedTokens as { id: number; content: string; special: boolean }[];
  const entries = [
    ...Object.entries(model.vocab as Record<string, number>),
    ...added.map(({ id, content }) => [content, id] as const),
  ];
  const size = entries.reduce((max, [, id]) => Math.max(max, id + 1), vocabSize);
  const tokens = Array.from({ length: size }, (_, id) => `[PAD${id}]`);
  const types = new Int32Array(size).fill(tokenTypes.unused);
  for (const [token, id] of entries) {
    tokens[id] = token;
    const isByte = model.byte_fallback === true && /^<0x[0-9A-F]{2}>$/.test(token);
    types[id] = isByte ? tokenTypes.byte : tokenTypes.normal;
  }
  for (const { id, special } of added) types[id] = special ? tokenTypes.control : tokenTypes.userDefined;
  const unknown = tokens.indexOf(model.unk_token as string);
  if (unknown >= 0) types[unknown] = tokenTypes.unknown;

  const out = new Map<string, GGUFValue>();
  const put = (name: string, value: GGUFValue) => out.set(`tokenizer.ggml.${name}`, value);
  const isSentencePiece = model.byte_fallback === true;
  put("model", { type: "string", value: isSentencePiece ? "llama" : "gpt2" });
  if (!isSentencePiece) put("pre", { type: "string", value: preOf(tokenizer, fail) });
  put("tokens", { type: "array", of: "string", value: tokens });
  put("token_type", { type: "array", of: "i32", value: types });
  if (isSentencePiece) {
    // A token's score is the rank of the first merge that makes it, the first one being the highest.
    const scores = new Float32Array(size);
    const ids = new Map(tokens.map((token, id) => [token, id]));
    for (const [rank, [left, right]] of pairs.entries()) {
      const id = ids.get(`${left}${right}`);
      if (id !== undefined && scores[id] === 0) scores[id] = -1 - rank;
    }
    put("scores", { type: "array", of: "f32", value: scores });
    put("add_space_prefix", {
      type: "bool",
      value: JSON.stringify(tokenizer.normalizer ?? null).includes('"Prepend"'),
    });
  } else put("merges", { type: "array", of: "string", value: pairs.map((pair) => pair.join(" ")) });
  for (const [theirs, ours] of Object.entries(special)) {
    const token = config[`${theirs}_token`] ?? (theirs === "unk" ? model.unk_token : undefined);
    const id = tokens.indexOf((isRecord(token) ? token.content : token) as string);
    if (id >= 0) put(`${ours}_token_id`, { type: "u32", value: id });
  }
  const single = isRecord(tokenizer.post_processor)
    ? JSON.stringify(tokenizer.post_processor.single ?? [])
    : "[]";
  const sequence = single.indexOf('"Sequence"');
  put("add_bos_token", {
    type: "bool",
    value: single.lastIndexOf('"SpecialToken"', sequence) >= 0 && sequence >= 0,
  });
  put("add_eos_token", {
    type: "bool",
    value: sequence >= 0 && single.indexOf('"SpecialToken"', sequence) >= 0,
  });
  if (typeof config.chat_template === "string")
    out.set("tokenizer.chat_template", { type: "string", value: config.chat_template });
  return out;
}

/** llama.cpp's name of the way in which this tokenizer splits text. */
function preOf(tokenizer: Json, fail: (problem: string) => never): string {
  const patterns = (part: unknown): string[] => {
    const found: string[] = [];
    JSON.stringify(part, (key, value: unknown) => {
      if (["Regex", "individual_digits", "use_regex"].includes(key)) found.push(`${key} ${value}`);
      return value;
    });
    return found;
  };
  const theirs = patterns(tokenizer.pre_tokenizer).join();
  const found = byteLevelPipelines.find(({ parts }) => patterns(parts.pre_tokenizer).join() === theirs);
  return (
    found?.names[0] ??
    fail(
      `must split text as ${byteLevelPipelines.map(({ names }) => names[0]).join(", ")} do; got ${show(tokenizer.pre_tokenizer)}`,
    )
  );
}
