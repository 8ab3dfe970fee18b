import { noGrad } from "../autograd.ts";
import { ArgumentError } from "../errors.ts";
import type { Decoding, Rows } from "../generate/decoding.ts";
import { scope, unscoped } from "../memory.ts";
import { KeyValueCache } from "../nn/cache.ts";
import { linear } from "../ops/products.ts";
import { type Tensor, tensor } from "../tensor.ts";
import { lastOf, padded } from "./rows.ts";
import type { Seq2SeqLM } from "./seq2seq-lm.ts";

const lengthsOf = (rows: Rows): number[] => Array.from(rows, (row) => row.length);

/** Sequences that the decoder of a Seq2SeqLM writes. The encoder's result is projected for each layer, once. */
export class Seq2SeqDecoding implements Decoding {
  private readonly model: Seq2SeqLM;
  private cache: KeyValueCache;
  /** Which of the inputs each row belongs to. */
  private inputs: readonly number[];
  private readonly inputLengths: readonly number[];
  /** `[B]` i32: how many positions of the encoder's result count in each row. */
  private memoryLengths: Tensor;

  constructor(model: Seq2SeqLM, options: { batchSize: number; capacity: number; inputs?: Rows }) {
    const { batchSize, capacity, inputs = [] } = options;
    if (inputs.length !== batchSize || inputs.some((row) => row.length === 0)) {
      throw new ArgumentError(
        `startDecoding: inputs must be ${batchSize} rows of at least one token; got rows of ${lengthsOf(inputs).join(", ") || "none"}`,
      );
    }
    this.model = model;
    const numLayers = model.decoder.blocks.length;
    const { contextLength = Infinity } = model;
    this.cache = new KeyValueCache({ numLayers, batchSize, capacity: Math.min(capacity, contextLength) });
    this.inputLengths = lengthsOf(inputs);
    this.inputs = [...inputs.keys()];
    this.memoryLengths = this.lengths();
    this.evaluating(() => {
      const memory = model.encode(padded(inputs, model.device).ids, { lengths: this.memoryLengths });
      model.decoder.remember(memory, this.cache);
    });
  }

  get vocabSize(): number {
    const { vocabSize, decoderVocabSize = vocabSize } = this.model.config;
    return decoderVocabSize;
  }

  private lengths(): Tensor {
    const values = Int32Array.from(this.inputs, (input) => this.inputLengths[input]!);
    return unscoped(() => tensor(values, [values.length], { device: this.model.device }));
  }

  /** Runs `body` in evaluation mode, without a record, and frees what it made. */
  private evaluating<T>(body: () => T): T {
    const { model } = this;
    const wasTraining = model.training;
    model.eval();
    try {
      return scope(() => noGrad(body));
    } finally {
      model.train(wasTraining);
    }
  }

  async next(rows: Rows): Promise<Float32Array> {
    const { model, cache, memoryLengths } = this;
    const counts = lengthsOf(rows);
    if (rows.length !== this.inputs.length || counts.includes(0)) {
      throw new ArgumentError(
        `next: each of the ${this.inputs.length} rows must go on; got rows of ${counts.join(", ")}`,
      );
    }
    const logits = this.evaluating(() => {
      const x = model.decode(padded(rows, model.device).ids, { cache, counts, memoryLengths });
      return linear(lastOf(x, rows), model.outputWeight, model.outputBias);
    });
    const values = (await logits.toTypedArray()) as Float32Array;
    logits.dispose();
    return values;
  }

  reorder(rows: readonly number[]): void {
    const before = this.cache;
    const inputs = rows.map((from) => this.inputs[from]!);
    const isSame = inputs.length === this.inputs.length && inputs.every((n, i) => n === this.inputs[i]);
    this.cache = before.select(rows, { movesMemory: isSame });
    before.dispose();
    this.inputs = inputs;
    if (isSame) return;
    this.memoryLengths.dispose();
    this.memoryLengths = this.lengths();
  }

  dispose(): void {
    this.cache.dispose();
    this.memoryLengths.dispose();
  }
}
