import path from "node:path";
import {
  ArgumentError,
  CheckpointError,
  Tokenizer,
  type TokenizerJSON,
  type TokenizerTrainingProgress,
  trainBPE,
  trainUnigram,
  trainWordPiece,
} from "../index.ts";
import { exists } from "../io/files.ts";
import { showBytes } from "../print.ts";
import { formatDuration } from "../train/report/formats.ts";
import { defineCommand, exitCodes } from "./command.ts";
import {
  defaultsTo,
  flag,
  integer,
  number,
  oneOf,
  positional,
  required,
  text,
  texts,
  type Values,
} from "./options.ts";
import { flagOf } from "./parse-options.ts";
import { Status } from "./status.ts";
import { readTextFile } from "./text-file.ts";
import { asUsage, UsageError, usageErrorOf } from "./usage-error.ts";

const options = {
  files: required(
    positional(texts("FILE", "UTF-8 text to learn from, or the same as .gz; each line is a text")),
  ),
  out: defaultsTo("tokenizer", text("FOLDER", "where tokenizer.json is written")),
  type: defaultsTo("bpe", oneOf(["bpe", "wordpiece", "unigram"], "as of GPT-2, of BERT, of T5")),
  vocabSize: integer(1, "tokens at most (bpe and wordpiece: 30000, unigram: 8000)"),
  minFrequency: integer(0, "bpe, wordpiece: how often a pair must occur to become a token (2)"),
  maxTokenLength: integer(1, "the longest token, in bytes (bpe) or characters"),
  bosToken: text("TOKEN", "begins a text"),
  eosToken: text("TOKEN", "ends a text"),
  padToken: text("TOKEN", "fills rows up (wordpiece: [PAD])"),
  unkToken: text("TOKEN", "of what there is no token for (wordpiece: [UNK], unigram: <unk>)"),
  clsToken: text("TOKEN", "begins a text for a classifier (wordpiece: [CLS])"),
  sepToken: text("TOKEN", "ends it, and separates two (wordpiece: [SEP])"),
  maskToken: text("TOKEN", "hides a word (wordpiece: [MASK])"),
  specialTokens: texts("TOKEN", "one more that is never split"),
  addPrefixSpace: flag("bpe: a space before a text that begins without one"),
  cased: flag("wordpiece: keeps case and accents"),
  limitAlphabet: integer(1, "wordpiece: how many different characters are kept (1000)"),
  shrinkingFactor: number(0, "unigram: which part of the pieces a pruning leaves (0.75)", 1),
  force: flag("replaces a tokenizer that is there"),
  json: flag("prints one JSON object"),
};
type O = Values<typeof options>;

const roles = ["bosToken", "eosToken", "padToken", "unkToken", "clsToken", "sepToken", "maskToken"] as const;
type Role = (typeof roles)[number];

/** The tokens with a purpose that a type of tokenizer has, unless others are named. */
const defaults: Readonly<Record<O["type"], Partial<Record<Role, string>>>> = {
  bpe: {},
  wordpiece: {
    padToken: "[PAD]",
    unkToken: "[UNK]",
    clsToken: "[CLS]",
    sepToken: "[SEP]",
    maskToken: "[MASK]",
  },
  unigram: { unkToken: "<unk>" },
};

/** The options that not every type reads. */
const readBy: Partial<Record<keyof O, readonly O["type"][]>> = {
  minFrequency: ["bpe", "wordpiece"],
  addPrefixSpace: ["bpe"],
  cased: ["wordpiece"],
  limitAlphabet: ["wordpiece"],
  shrinkingFactor: ["unigram"],
};

function checkTogether(o: O): void {
  for (const [name, types] of Object.entries(readBy)) {
    const value = o[name as keyof O];
    if (value === undefined || value === false || types.includes(o.type)) continue;
    throw new UsageError(`${flagOf(name)} needs --type ${types.join(" or ")}; got --type ${o.type}`);
  }
}

interface Hooks {
  signal: AbortSignal;
  onProgress: (progress: TokenizerTrainingProgress) => void;
}

function train(o: O, special: Partial<Record<Role, string>>, hooks: Hooks): Promise<TokenizerJSON> {
  const given = <T extends object>(values: T) =>
    Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
  const { vocabSize, minFrequency, maxTokenLength, limitAlphabet, shrinkingFactor, addPrefixSpace } = o;
  const specialTokens = [...new Set([...Object.values(special), ...o.specialTokens])];
  const common = { ...given({ vocabSize }), specialTokens, ...hooks };
  const texts = { files: o.files };
  if (o.type === "bpe") {
    return trainBPE(texts, { ...common, ...given({ minFrequency, maxTokenLength }), addPrefixSpace });
  }
  if (o.type === "unigram") {
    const own = given({ shrinkingFactor, maxPieceLength: maxTokenLength });
    return trainUnigram(texts, { ...common, ...own, unkToken: special.unkToken! });
  }
  const own = given({ minFrequency, maxTokenLength, limitAlphabet });
  return trainWordPiece(texts, { ...common, ...own, unkToken: special.unkToken!, lowercase: !o.cased });
}

/** Bytes of text for each token, on the beginning of a file. */
async function bytesPerToken(tokenizer: Tokenizer, file: string): Promise<number | undefined> {
  if (file.endsWith(".gz")) return undefined;
  const sample = (await readTextFile(file)).text.slice(0, 200_000);
  try {
    return Buffer.byteLength(sample) / tokenizer.encode(sample, { addSpecialTokens: false }).length;
  } catch (error) {
    if (error instanceof ArgumentError) return undefined; // a unigram without a token for the unknown
    throw error;
  }
}

export const command = defineCommand({
  usage: "FILE… [options]",
  options,
  async run(o, signal) {
    checkTogether(o);
    const start_ms = performance.now();
    const target = path.join(o.out, "tokenizer.json");
    if (!o.force && (await exists(target))) {
      throw new CheckpointError(`${target}: is there already; --force replaces it`);
    }
    const named = roles.flatMap((role) => {
      const token = o[role] ?? defaults[o.type][role];
      return token === undefined ? [] : [[role, token] as const];
    });
    const special: Partial<Record<Role, string>> = Object.fromEntries(named);
    const status = new Status();
    const onProgress = ({ stage, done, total }: TokenizerTrainingProgress) =>
      status.update(stage, stage === "words" ? showBytes(done) : `${done}/${total}`);
    let json: TokenizerJSON;
    try {
      json = await train(o, special, { signal, onProgress });
    } catch (error) {
      throw usageErrorOf(error, (message) => message.replace(/^train\w+: /, ""));
    } finally {
      status.end();
    }
    const tokenizer = asUsage(() => Tokenizer.fromJSON(json, special));
    await tokenizer.save(o.out);
    const seconds = (performance.now() - start_ms) / 1000;
    const ratio = await bytesPerToken(tokenizer, o.files[0]!);
    const result = {
      out: o.out,
      type: o.type,
      tokens: tokenizer.size,
      seconds,
      bytesPerToken: ratio ?? null,
    };
    if (o.json) console.log(JSON.stringify(result));
    else {
      const shown = ratio === undefined ? "" : `, ${ratio.toFixed(2)} bytes of ${o.files[0]} a token`;
      console.log(`${target}: ${tokenizer.size} tokens${shown}, in ${formatDuration(1000 * seconds)}`);
    }
    return exitCodes.done;
  },
});
