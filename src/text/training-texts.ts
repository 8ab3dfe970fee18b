import { isUtf8 } from "node:buffer";
import { type NamedSource, openSources, type TextSource } from "../data/lines.ts";
import { ArgumentError, DataError, show } from "../errors.ts";

/**
 * What a tokenizer is trained on: strings, each a text of its own, or files (streams, URLs), of which each line with its
 * line feed is one. Files are read as they are needed.
 */
export type TrainingTexts = Iterable<string> | AsyncIterable<string> | { readonly files: TextSource };

/** Texts in UTF-8, one after the other, and where each ends; without `ends`, each line is one. */
export interface TextBatch {
  readonly bytes: Uint8Array;
  readonly ends?: Uint32Array;
}

const batchBytes = 2 ** 23;

/** @throws ArgumentError on what is no texts; while it is iterated, on a text that is no string, and DataError on files */
export function textBatches(caller: string, texts: TrainingTexts): AsyncIterable<TextBatch> {
  const error = () =>
    new ArgumentError(`${caller}: texts must be an iterable of strings or { files }; got ${show(texts)}`);
  if (typeof texts !== "object" || texts === null) throw error();
  if (Symbol.iterator in texts || Symbol.asyncIterator in texts) return stringBatches(caller, texts);
  if (!("files" in texts)) throw error();
  return fileBatches(openSources(caller, texts.files, {}));
}

async function* stringBatches(
  caller: string,
  texts: Iterable<string> | AsyncIterable<string>,
): AsyncGenerator<TextBatch> {
  let [waiting, units, count]: [string[], number, number] = [[], 0, 0];
  for await (const text of texts) {
    if (typeof text !== "string" || /\p{Surrogate}/u.test(text)) {
      throw new ArgumentError(
        `${caller}: texts must be well-formed strings; got ${show(text)} as number ${count}`,
      );
    }
    waiting.push(text);
    units += text.length;
    count++;
    if (units < batchBytes) continue;
    yield batchOf(waiting);
    [waiting, units] = [[], 0];
  }
  if (waiting.length > 0) yield batchOf(waiting);
}

function batchOf(texts: readonly string[]): TextBatch {
  const ends = new Uint32Array(texts.length);
  let end = 0;
  texts.forEach((text, i) => {
    end += Buffer.byteLength(text);
    ends[i] = end;
  });
  const bytes = Buffer.allocUnsafe(end);
  texts.forEach((text, i) => bytes.write(text, i === 0 ? 0 : ends[i - 1]!));
  return { bytes, ends };
}

async function* fileBatches(sources: readonly NamedSource[]): AsyncGenerator<TextBatch> {
  for (const { name, chunks } of sources) {
    let [waiting, size, position]: [Buffer[], number, number] = [[], 0, 0];
    const take = (bytes: Buffer): TextBatch => {
      if (!isUtf8(bytes)) throw new DataError(`${name}: not utf-8, at or after byte ${position}`);
      position += bytes.length;
      return { bytes };
    };
    for await (const chunk of readable(name, chunks)) {
      const lastEnd = chunk.lastIndexOf(10) + 1;
      size += chunk.length;
      if (size < batchBytes || lastEnd === 0) {
        waiting.push(chunk);
        continue;
      }
      yield take(Buffer.concat([...waiting, chunk.subarray(0, lastEnd)]));
      waiting = [chunk.subarray(lastEnd)];
      size = waiting[0]!.length;
    }
    yield take(Buffer.concat(waiting));
  }
}

async function* readable(name: string, chunks: NamedSource["chunks"]): AsyncGenerator<Buffer> {
  const error = (reason: string, cause?: unknown) =>
    new DataError(`${name}: cannot be read: ${reason}`, { cause });
  try {
    for await (const chunk of chunks()) {
      if (typeof chunk === "string") yield Buffer.from(chunk);
      else if (chunk instanceof Uint8Array)
        yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      else throw new TypeError(`a chunk must be bytes or a string; got ${show(chunk)}`);
    }
  } catch (cause) {
    throw error((cause as Error).message, cause);
  }
}
