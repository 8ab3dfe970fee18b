import { CharTokenizer, DataError, TokenDataset } from "../index.ts";
import { readTextFile } from "./text-file.ts";

export interface Corpus {
  tokenizer: CharTokenizer;
  train: TokenDataset;
  heldOut: TokenDataset;
  /** Pieces from all over the held-out text, or all of a short one: to look at while training. */
  heldOutSample: TokenDataset;
  /** Its first characters. */
  beginning: string;
  /** Size of the files. */
  bytes: number;
}

const trainFraction = 0.9;
const sampleLength = 20_000;
const samplePieces = 16;
const beginningLength = 100;

function checkLength(file: string, part: string, tokens: number, contextLength: number): void {
  if (tokens > contextLength) return;
  const needed = `--context ${contextLength} needs more than ${contextLength} characters`;
  throw new DataError(`${file}: is too short: ${needed} of ${part}; got ${tokens}`);
}

/** Pieces at even distances, each of whole windows. */
function sample(tokens: Int32Array, contextLength: number): Int32Array {
  const length = contextLength * Math.ceil(sampleLength / samplePieces / contextLength);
  const count = Math.ceil(sampleLength / length);
  if (tokens.length <= count * length + 1) return tokens;
  const pieces = new Int32Array(count * length + 1);
  for (let i = 0; i < count; i++) {
    const begin = Math.floor((i / count) * (tokens.length - length));
    pieces.set(tokens.subarray(begin, begin + length + 1), i * length);
  }
  return pieces;
}

/** Reads the texts; without a held-out one, it is the last tenth of the other. */
export async function readCorpus(
  file: string,
  heldOutFile: string | undefined,
  contextLength: number,
): Promise<Corpus> {
  const data = await readTextFile(file);
  const other = heldOutFile === undefined ? undefined : await readTextFile(heldOutFile);
  const tokenizer = CharTokenizer.fromText(data.text + (other?.text ?? ""));
  const tokens = tokenizer.encode(data.text);
  const cut = other === undefined ? Math.floor(trainFraction * tokens.length) : tokens.length;
  const train = tokens.subarray(0, cut);
  const heldOut = other === undefined ? tokens.subarray(cut) : tokenizer.encode(other.text);
  checkLength(file, "training text", train.length, contextLength);
  checkLength(heldOutFile ?? file, "held-out text", heldOut.length, contextLength);
  return {
    tokenizer,
    train: TokenDataset.fromTokens(train),
    heldOut: TokenDataset.fromTokens(heldOut),
    heldOutSample: TokenDataset.fromTokens(sample(heldOut, contextLength)),
    beginning: tokenizer.decode(heldOut.subarray(0, beginningLength)),
    bytes: data.bytes + (other?.bytes ?? 0),
  };
}
