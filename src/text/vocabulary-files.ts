import { CheckpointError, show } from "../errors.ts";
import type { Fields } from "./fields.ts";
import type { TokenizerOptions } from "./tokenizer.ts";

/** The tokenizer.json that says the same as older files do. */
interface Converted {
  readonly json: object;
  readonly options: TokenizerOptions;
}

const frame = { version: "1.0", truncation: null, padding: null, added_tokens: [] };

/** `tokenizer_class` without the suffix of either implementation. */
const classOf = (config: Fields | undefined): string | undefined =>
  config?.optionalString("tokenizer_class")?.replace(/Tokenizer(Fast)?$/, "");

const gpt2 = new Set(["GPT2"]);
const roberta = new Set(["Roberta", "Bart", "Longformer", "LED", "MVP"]);
const bert = new Set(["Bert", "DistilBert", "Electra", "MobileBert", "LayoutLM", "Funnel", "MPNet"]);

/**
 * vocab.json `{ token: id }` and merges.txt, a pair of tokens a line in the order in which they were learnt.
 *
 * @throws CheckpointError on a malformed line, and where tokenizer_config.json names a tokenizer of another kind
 */
export function byteLevelTokenizerJSON(
  vocabulary: Fields,
  merges: string,
  mergesPath: string,
  config: Fields | undefined,
): Converted {
  const vocab = Object.fromEntries(vocabulary.entries());
  const name =
    classOf(config) ?? (Object.hasOwn(vocab, "<s>") && Object.hasOwn(vocab, "</s>") ? "Roberta" : "GPT2");
  if (!gpt2.has(name) && !roberta.has(name)) {
    throw config!.error("tokenizer_class", "of GPT-2 or RoBERTa, for there is no tokenizer.json");
  }
  const pairs = merges
    .split(/\r?\n/)
    .map((line, i) => [line, i + 1] as const)
    .filter(([line]) => line !== "" && !line.startsWith("#version"))
    .map(([line, number]) => {
      const parts = line.split(" ");
      if (parts.length === 2) return parts;
      throw new CheckpointError(`${mergesPath}: line ${number} must have two tokens; got ${show(line)}`);
    });
  const hasPrefix = config?.boolean("add_prefix_space", false) ?? false;
  const byteLevel = { type: "ByteLevel", add_prefix_space: hasPrefix, trim_offsets: true, use_regex: true };
  const idOf = (token: string): number => {
    if (!Object.hasOwn(vocab, token)) throw vocabulary.error(token, "the id of a token of RoBERTa");
    return vocabulary.integer(token);
  };
  const isRoberta = roberta.has(name);
  const json = {
    ...frame,
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: isRoberta
      ? {
          type: "RobertaProcessing",
          sep: ["</s>", idOf("</s>")],
          cls: ["<s>", idOf("<s>")],
          trim_offsets: true,
          add_prefix_space: hasPrefix,
        }
      : { ...byteLevel, trim_offsets: false },
    decoder: { ...byteLevel, add_prefix_space: true },
    model: { type: "BPE", vocab, merges: pairs },
  };
  if (!isRoberta) {
    const end = "<|endoftext|>";
    const known = Object.hasOwn(vocab, end);
    return { json, options: known ? { bosToken: end, eosToken: end, unkToken: end } : {} };
  }
  const present = (token: string) => (Object.hasOwn(vocab, token) ? token : undefined);
  const options: TokenizerOptions = { bosToken: "<s>", eosToken: "</s>", sepToken: "</s>", clsToken: "<s>" };
  const [pad, unk, mask] = [present("<pad>"), present("<unk>"), present("<mask>")];
  if (pad) options.padToken = pad;
  if (unk) options.unkToken = unk;
  if (mask) options.maskToken = { content: mask, lstrip: true };
  return { json, options };
}

/**
 * vocab.txt: a token a line, whose ids are their numbers from 0 on.
 *
 * @throws CheckpointError where a special token of BERT is missing or tokenizer_config.json names another kind
 */
export function wordPieceTokenizerJSON(text: string, path: string, config: Fields | undefined): Converted {
  const name = classOf(config) ?? "Bert";
  if (!bert.has(name)) {
    throw config!.error("tokenizer_class", "of BERT's kind, for there is no tokenizer.json");
  }
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  const vocab = new Map(lines.map((token, id) => [token, id]));
  const token = (key: string, fallback: string): string => {
    const value = config?.get(key);
    const content = typeof value === "object" ? config!.object(key).string("content") : value;
    if (content !== undefined && typeof content !== "string") throw config!.error(key, "a token");
    return content ?? fallback;
  };
  const special = {
    unkToken: token("unk_token", "[UNK]"),
    sepToken: token("sep_token", "[SEP]"),
    padToken: token("pad_token", "[PAD]"),
    clsToken: token("cls_token", "[CLS]"),
    maskToken: token("mask_token", "[MASK]"),
  };
  for (const needed of Object.values(special)) {
    if (!vocab.has(needed)) throw new CheckpointError(`${path}: must have the token ${show(needed)}`);
  }
  const { clsToken: cls, sepToken: sep } = special;
  const piece = (id: string, type_id: number) => ({ SpecialToken: { id, type_id } });
  const sequence = (id: string, type_id: number) => ({ Sequence: { id, type_id } });
  const single = [piece(cls, 0), sequence("A", 0), piece(sep, 0)];
  const definition = (id: string) => ({ id, ids: [vocab.get(id)!], tokens: [id] });
  const json = {
    ...frame,
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: config?.boolean("tokenize_chinese_chars", true) ?? true,
      strip_accents: config?.get("strip_accents") === undefined ? null : config.boolean("strip_accents"),
      lowercase: config?.boolean("do_lower_case", true) ?? true,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: {
      type: "TemplateProcessing",
      single,
      pair: [...single, sequence("B", 1), piece(sep, 1)],
      special_tokens: { [cls]: definition(cls), [sep]: definition(sep) },
    },
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: special.unkToken,
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(vocab),
    },
  };
  return { json, options: special };
}
