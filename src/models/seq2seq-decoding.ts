import type { Decoding, Rows } from "../generate/decoding.ts";
import { unscoped } from "../memory.ts";
import { KeyValueCache } from "../nn/cache.ts";
import { linear } from "../ops/products.ts";
import { type Tensor, tensor } from "../tensor.ts";
import { evaluating } from "./evaluating.ts";
import { lastOf, lengthsOf, padded, valuesOf } from "./rows.ts";
import type { Seq2SeqLM } from "./seq2seq-lm.ts";

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
    this.model = model;
    const numLayers = model.decoder.blocks.length;
    const { contextLength = Infinity } = model;
    this.cache = new KeyValueCache({ numLayers, batchSize, capacity: Math.min(capacity, contextLength) });
    this.inputLengths = lengthsOf(
      inputs,
      batchSize,
      `startDecoding: inputs must be ${batchSize} rows of at least one token`,
    );
    this.inputs = [...inputs.keys()];
    this.memoryLengths = this.lengths();
    evaluating(model, () => {
      const memory = model.encode(padded(inputs, model.device), { lengths: this.memoryLengths });
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

  async next(rows: Rows): Promise<Float32Array> {
    const { model, cache, memoryLengths } = this;
    const { length } = this.inputs;
    const counts = lengthsOf(rows, length, `next: each of the ${length} rows must go on`);
    const logits = evaluating(model, () => {
      const x = model.decode(padded(rows, model.device), { cache, counts, memoryLengths });
      return linear(lastOf(x, rows), model.outputWeight, model.outputBias);
    });
    return valuesOf(logits);
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
