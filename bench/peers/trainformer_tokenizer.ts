/** The training of tokenizers in this library, in a process of its own: the other side of tokenizer_hf.py. */
import { writeFileSync } from "node:fs";
import "../../src/functional.ts";
import { trainBPE } from "../../src/text/train-bpe.ts";
import { trainUnigram } from "../../src/text/train-unigram.ts";
import { trainWordPiece } from "../../src/text/train-wordpiece.ts";
import { peakBytes, serve } from "./serve.ts";

interface Request {
  kind: "bpe" | "wordpiece" | "unigram";
  vocabSize: number;
  file: string;
  /** Where the tokens are to be written, a JSON array. */
  out: string;
}

const trainers = { bpe: trainBPE, wordpiece: trainWordPiece, unigram: trainUnigram };

await serve(async () => ({
  version: "",
  async answer({ kind, vocabSize, file, out }: Request) {
    const start = performance.now();
    const { model } = await trainers[kind]({ files: file }, { vocabSize });
    const ms = performance.now() - start;
    const { vocab } = model as { vocab: Record<string, number> | [string, number][] };
    const tokens = Array.isArray(vocab) ? vocab.map(([piece]) => piece) : Object.keys(vocab);
    writeFileSync(out, JSON.stringify(tokens));
    return { ms, peakBytes: peakBytes() };
  },
}));
