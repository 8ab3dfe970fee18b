import { bleu, chrF, type GenerationConfig, rouge, type Seq2SeqLM } from "../index.ts";
import type { AnyTokenizer } from "./model-folder.ts";

export interface Seq2SeqOptions {
  generation: GenerationConfig & { seed: number };
  batchSize: number;
  signal: AbortSignal;
  onProgress(done: number, total: number): void;
}

/** What a model writes for each source, compared with what it should have written. */
export async function evaluateSeq2Seq(
  model: Seq2SeqLM,
  tokenizer: AnyTokenizer,
  { sources, references }: { sources: readonly string[]; references: readonly string[] },
  { generation, batchSize, signal, onProgress }: Seq2SeqOptions,
) {
  const outputs: string[] = [];
  for (let begin = 0; begin < sources.length; begin += batchSize) {
    const batch = sources.slice(begin, begin + batchSize);
    const { texts } = await model.generate(batch, {
      ...generation,
      numReturnSequences: 1,
      tokenizer,
      signal,
    });
    outputs.push(...texts);
    onProgress(outputs.length, sources.length);
  }
  const { rouge1, rouge2, rougeL } = rouge(outputs, references);
  const same = outputs.filter((text, i) => text === references[i]).length;
  return {
    outputs,
    bleu: bleu(outputs, references).score,
    chrF: chrF(outputs, references).score,
    rouge1: 100 * rouge1.f1,
    rouge2: 100 * rouge2.f1,
    rougeL: 100 * rougeL.f1,
    identical: (100 * same) / outputs.length,
  };
}
