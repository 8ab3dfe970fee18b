import { setImmediate } from "node:timers/promises";
import { ArgumentError } from "../errors.ts";
import { nativeText, type WordArrays } from "../native.ts";
import { AlignedText } from "./aligned-text.ts";
import { Fields } from "./fields.ts";
import { makeNormalizer } from "./normalizers.ts";
import { makePreTokenizer } from "./pre-tokenizers.ts";
import { runJob, type TokenizerTrainingOptions } from "./training-job.ts";
import { type TrainingTexts, textBatches } from "./training-texts.ts";

/** How native code cuts texts (native/text/split.h). */
const splittings = { words: 0, wordsAfterSpace: 1, segments: 2 } as const;

/** Counts what `splitting` cuts the texts into, on all threads, a batch while the next one is read. */
async function count(
  caller: string,
  texts: TrainingTexts,
  splitting: keyof typeof splittings,
  { signal, onProgress }: TokenizerTrainingOptions,
): Promise<WordArrays> {
  const counter = new nativeText.WordCounter(splittings[splitting]);
  let adding: Promise<number> = Promise.resolve(0);
  let done = 0;
  const settle = async () => {
    done += await adding;
    onProgress?.({ stage: "words", done });
  };
  for await (const { bytes, ends } of textBatches(caller, texts)) {
    await settle();
    adding = runJob(caller, (control) => counter.add(bytes, ends, control), signal).then(() => bytes.length);
    adding.catch(() => {}); // settle() reports it
  }
  await settle();
  onProgress?.({ stage: "words", done, total: done });
  const words = counter.words();
  if (words.ends.length === 0) throw new ArgumentError(`${caller}: texts must have a word; got none`);
  return words;
}

/** Counts the words of GPT-2's pattern, as bytes. */
export const countByteLevelWords = (
  caller: string,
  texts: TrainingTexts,
  addPrefixSpace: boolean,
  options: TokenizerTrainingOptions,
): Promise<WordArrays> => count(caller, texts, addPrefixSpace ? "wordsAfterSpace" : "words", options);

/** How many segments are normalized before the event loop has its turn. */
const segmentsATurn = 2048;

/**
 * Counts the words that a normalizer and a pre-tokenizer of a tokenizer.json make of the texts: each different segment
 * between spaces goes through them once.
 */
export async function countNormalizedWords(
  caller: string,
  texts: TrainingTexts,
  { normalizer, pre_tokenizer }: { normalizer: object; pre_tokenizer: object },
  options: TokenizerTrainingOptions,
): Promise<WordArrays> {
  const normalize = makeNormalizer(new Fields(normalizer, caller));
  const split = makePreTokenizer(new Fields(pre_tokenizer, caller));
  const { bytes, ends, counts } = await count(caller, texts, "segments", options);
  const segments = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const total = new Map<string, number>();
  for (let i = 0; i < ends.length; i++) {
    if (i % segmentsATurn === 0) {
      await setImmediate();
      options.signal?.throwIfAborted();
    }
    const segment = normalize(new AlignedText(segments.toString("utf8", ends[i - 1] ?? 0, ends[i])));
    if (segment.text === "") continue;
    for (const word of split(segment)) {
      total.set(word.text, (total.get(word.text) ?? 0) + counts[i]!);
    }
  }
  if (total.size === 0) throw new ArgumentError(`${caller}: texts must have a word; got none`);
  return wordArrays(total);
}

function wordArrays(words: ReadonlyMap<string, number>): WordArrays {
  const ends = new Uint32Array(words.size);
  let [end, i] = [0, 0];
  for (const word of words.keys()) ends[i++] = end += Buffer.byteLength(word);
  const bytes = Buffer.allocUnsafe(end);
  i = 0;
  for (const word of words.keys()) bytes.write(word, ends[i++ - 1] ?? 0);
  return { bytes, ends, counts: Float64Array.from(words.values()) };
}
