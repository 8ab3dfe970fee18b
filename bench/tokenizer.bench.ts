/**
 * Times the training of tokenizers against Hugging Face's tokenizers, a process each, one after the other.
 *
 *   npm run bench:tokenizer [-- --megabytes N] [--kind NAME ...] [--threads N ...] [--vocab N] [--python FILE]
 *                           [--discard] [--json]
 *
 *   --megabytes   of text: the Brown corpus again and again, in which words are replaced and new ones made; default 100
 *   --kind        bpe, wordpiece, unigram; default: all
 *   --threads     default: one a core
 *   --vocab       tokens; default 30000, of unigram 8000
 *   --python      a Python that has tokenizers; default: the environment variable PYTHON, or what bench:install has made
 *   --discard     leaves results.md as it is
 *   --json        one line of JSON at the end of the output
 *
 * "/ HF" is how many times as fast as Hugging Face's tokenizers the library is, from the file to the vocabulary. "common"
 * is how much of the vocabulary is the same.
 */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import "../src/functional.ts";
import { info } from "../src/native.ts";
import { findPython, missing, ourProcess, Peer, type PeerProcess } from "./peer.ts";
import { publish } from "./record.ts";
import { type Cell, percent, times } from "./table.ts";

const { values } = parseArgs({
  options: {
    megabytes: { type: "string", default: "100" },
    kind: { type: "string", multiple: true, default: ["bpe", "wordpiece", "unigram"] },
    threads: { type: "string", multiple: true, default: [String(info().cores)] },
    vocab: { type: "string" },
    python: { type: "string", default: process.env.PYTHON },
    discard: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

const brown = pathToFileURL(path.resolve("scripts/brown.mjs")).href; // tsc compiles no JavaScript
const { brownSplit } = (await import(brown)) as typeof import("../scripts/brown.mjs");

/** Writes the corpus until there are `bytes`: one word in fifty another, one in a hundred of two halves, some numbers. */
function writeText(file: string, bytes: number): void {
  const lines = brownSplit().train.split("\n");
  const words = [...new Set(lines.flatMap((line) => line.split(" ")))].filter((word) =>
    /^[a-z]+$/i.test(word),
  );
  let state = 1;
  const below = (limit: number): number => {
    state = (state * 48271) % 2147483647;
    return state % limit;
  };
  const anyWord = () => words[below(words.length)]!;
  const varied = (word: string): string => {
    const chance = below(200);
    if (chance < 4) return anyWord();
    if (chance < 6) return word.slice(0, 3) + anyWord().slice(-4);
    return chance < 7 ? String(below(100_000)) : word;
  };
  const output = openSync(file, "w");
  for (let written = 0; written < bytes; ) {
    const text = lines.map((line) => `${line.split(" ").map(varied).join(" ")}\n`).join("");
    written += writeSync(output, text);
  }
  closeSync(output);
}

interface Answer {
  ms: number;
  peakBytes: number;
}

const huggingFace: PeerProcess = {
  name: "tokenizers",
  command: findPython(values.python),
  args: [path.resolve("bench/peers/tokenizer_hf.py")],
};

interface Result {
  readonly kind: string;
  readonly threads: number;
  readonly ours: Answer;
  readonly theirs: Answer | undefined;
  readonly common: number | undefined;
}

const folder = mkdtempSync(path.join(tmpdir(), "trainformer-bench-"));
const text = path.join(folder, "text.txt");
let version = "";

async function train(what: PeerProcess, threads: number, request: object): Promise<Answer | undefined> {
  const peer = await Peer.start(what, threads, {});
  if (!peer) return undefined;
  version = peer.version || version;
  const answer = await peer.ask<Answer>(request);
  peer.stop();
  return answer;
}

function commonPart(...names: [string, string]): number {
  const [ours, theirs] = names.map(
    (name) => new Set<string>(JSON.parse(readFileSync(path.join(folder, name), "utf8"))),
  );
  return [...ours!].filter((token) => theirs!.has(token)).length / ours!.size;
}

const results: Result[] = [];
try {
  writeText(text, 1e6 * Number(values.megabytes));
  for (const threads of values.threads.map(Number)) {
    for (const kind of values.kind) {
      const vocabSize = Number(values.vocab ?? (kind === "unigram" ? 8000 : 30_000));
      const request = (out: string) => ({ kind, vocabSize, file: text, out: path.join(folder, out) });
      const ours = (await train(ourProcess("trainformer_tokenizer"), threads, request("ours.json")))!;
      const theirs = await train(huggingFace, threads, request("theirs.json"));
      const common = theirs && commonPart("ours.json", "theirs.json");
      results.push({ kind, threads, ours, theirs, common });
    }
  }
} finally {
  rmSync(folder, { recursive: true });
}

const head = ["training", "threads", "s", "tokenizers s", "/ HF", "MB", "tokenizers MB", "common"];
const rows = results.map(({ kind, threads, ours, theirs, common }): Cell[] => [
  kind,
  String(threads),
  ours.ms / 1000,
  theirs && theirs.ms / 1000,
  theirs && times(theirs.ms / ours.ms),
  ours.peakBytes / 1e6,
  theirs && theirs.peakBytes / 1e6,
  common === undefined ? undefined : percent(common),
]);
const notes = [`${values.megabytes} MB of text`, version && `tokenizers ${version}`, ...missing];
publish({ program: "tokenizer", notes: notes.filter(Boolean), head, rows, left: 1 }, values.discard);
if (values.json) console.log(JSON.stringify({ results }));
