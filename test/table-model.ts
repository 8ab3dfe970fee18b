import { readFileSync } from "node:fs";
import type {
  Decoding,
  GenerationConfig,
  GenerationTokenizer,
  GenerativeModel,
  Rows,
} from "../src/generate/index.ts";

export type Numbers = (number | null)[];

export interface Golden {
  table: number[];
  inputBias: number[];
  positionBias: number[];
  pieces: string[];
  processors: {
    options: GenerationConfig;
    ids: number[];
    promptLength: number;
    maxLength: number;
    inputIds: number[];
    scores: Numbers;
    after: Numbers;
  }[];
  generations: {
    name: string;
    isEncoderDecoder: boolean;
    prompts: number[][];
    options: GenerationConfig;
    sequences: number[][];
    scores?: number[];
  }[];
}

/** What test/golden/make_generation.py has written. */
export const golden: Golden = JSON.parse(
  readFileSync(new URL("golden/generation.json", import.meta.url), "utf8"),
);

export const vocabSize = golden.pieces.length;

/** One token a piece; decodes whole rows only. */
export const tokenizer: GenerationTokenizer = {
  encode: (text) => text.split(" ").map((piece) => golden.pieces.indexOf(piece)),
  decode: (ids) => Array.from(ids, (id) => golden.pieces[id]).join(""),
};

/** Logits are a function of the two last tokens of a row, of its length and of the sum of its input. */
export class TableModel implements GenerativeModel {
  readonly isEncoderDecoder: boolean;
  readonly contextLength: number | undefined;
  generationConfig: GenerationConfig = {};
  /** What has been asked of it. */
  readonly calls: string[] = [];
  /** States that are not disposed. */
  open = 0;
  /** Replaces logits of the table. */
  change: (logits: Float32Array) => void = () => {};

  constructor({
    isEncoderDecoder = false,
    contextLength,
  }: { isEncoderDecoder?: boolean; contextLength?: number } = {}) {
    this.isEncoderDecoder = isEncoderDecoder;
    this.contextLength = contextLength;
  }

  startDecoding({ batchSize, capacity, inputs }: { batchSize: number; capacity: number; inputs?: Rows }) {
    const sum = (ids: ArrayLike<number>) => Array.from(ids).reduce((a, b) => a + b, 0);
    const rows = Array.from({ length: batchSize }, (_, i) => ({
      ids: [] as number[],
      input: inputs ? sum(inputs[i]!) % vocabSize : undefined,
    }));
    this.calls.push(`start ${batchSize} rows of ${capacity}`);
    return new TableDecoding(this, rows, capacity);
  }
}

interface Row {
  ids: number[];
  input: number | undefined;
}

class TableDecoding implements Decoding {
  readonly vocabSize = vocabSize;
  private readonly model: TableModel;
  private rows: Row[];
  private readonly capacity: number;
  private isOpen = true;

  constructor(model: TableModel, rows: Row[], capacity: number) {
    this.model = model;
    this.rows = rows;
    this.capacity = capacity;
    model.open++;
  }

  async next(tokens: Rows): Promise<Float32Array> {
    if (!this.isOpen || tokens.length !== this.rows.length) throw new Error("table model: misused");
    this.model.calls.push(`next ${tokens.map((row) => row.length).join()}`);
    await Promise.resolve();
    const logits = new Float32Array(this.rows.length * vocabSize);
    this.rows.forEach((row, b) => {
      row.ids.push(...Array.from(tokens[b]!));
      if (row.ids.length > this.capacity) throw new Error("table model: no room");
      const [previous, last] = [row.ids.at(-2) ?? 0, row.ids.at(-1)!];
      for (let v = 0; v < vocabSize; v++) {
        const bias = row.input === undefined ? 0 : golden.inputBias[row.input * vocabSize + v]!;
        const position = golden.positionBias[(row.ids.length - 1) * vocabSize + v]!;
        logits[b * vocabSize + v] =
          golden.table[(previous * vocabSize + last) * vocabSize + v]! + position + bias;
      }
    });
    this.model.change(logits);
    return logits;
  }

  reorder(rows: readonly number[]): void {
    this.rows = rows.map((i) => ({ ...this.rows[i]!, ids: [...this.rows[i]!.ids] }));
  }

  fork({ batchSize, capacity, length }: { batchSize: number; capacity: number; length: number }): Decoding {
    this.model.calls.push(`fork ${batchSize} rows of ${length}`);
    const [{ ids, input }] = this.rows as [Row];
    const rows = Array.from({ length: batchSize }, () => ({ ids: ids.slice(0, length), input }));
    return new TableDecoding(this.model, rows, capacity);
  }

  dispose(): void {
    if (this.isOpen) this.model.open--;
    this.isOpen = false;
  }
}
