import type { Command } from "./command.ts";

export interface CommandEntry {
  /** One word, or two: `tokenizer train`. */
  readonly name: string;
  readonly summary: string;
  /** Loads the command, and the library with it. */
  load(): Promise<Command>;
}

type Row = readonly [name: string, summary: string, load: () => Promise<{ command: unknown }>];

const table: readonly Row[] = [
  ["train", "trains a character-level GPT on a text", () => import("./train.ts")],
  ["generate", "writes on from a prompt", () => import("./generate.ts")],
  ["chat", "talks with a model", () => import("./chat.ts")],
  ["eval", "measures a model on texts that it has not seen", () => import("./eval.ts")],
  ["inspect", "shows what passed between a model's layers, as a page", () => import("./inspect.ts")],
  ["tokenizer train", "makes one of texts: BPE, WordPiece or Unigram", () => import("./tokenizer-train.ts")],
  ["tokenizer encode", "turns text into token ids", () => import("./tokenizer-encode.ts")],
  ["tokenizer decode", "turns token ids into text", () => import("./tokenizer-decode.ts")],
  ["convert", "turns a model into GGUF, or back, or into shards", () => import("./convert.ts")],
  ["bench", "measures how fast this machine is", () => import("./bench.ts")],
  ["info", "says what this machine offers", () => import("./info.ts")],
];

export const commands: readonly CommandEntry[] = table.map(([name, summary, load]) => ({
  name,
  summary,
  load: async () => (await load()).command as Command,
}));
