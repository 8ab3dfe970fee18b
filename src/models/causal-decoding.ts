import { ArgumentError } from "../errors.ts";
import type { Decoding, Rows } from "../generate/decoding.ts";
import { KeyValueCache } from "../nn/cache.ts";
import { linear } from "../ops/products.ts";
import type { CausalLM } from "./causal-lm.ts";
import { evaluating } from "./evaluating.ts";
import { lastOf, lengthsOf, padded, valuesOf } from "./rows.ts";

/**
 * Sequences that a CausalLM continues. When they have filled the model's context, it goes on with the last half of
 * them, read anew: so a text may become longer than the context, each token of which sees at least half of it.
 */
export class CausalDecoding implements Decoding {
  private readonly model: CausalLM;
  private cache: KeyValueCache;
  /** The tokens in the cache. */
  private rows: number[][];

  constructor(model: CausalLM, batchSize: number, capacity: number) {
    this.model = model;
    this.cache = this.emptyCache(batchSize, Math.min(capacity, model.config.contextLength));
    this.rows = Array.from({ length: batchSize }, () => []);
  }

  get vocabSize(): number {
    return this.model.config.vocabSize;
  }

  private emptyCache(batchSize: number, capacity: number): KeyValueCache {
    return new KeyValueCache({ numLayers: this.model.blocks.length, batchSize, capacity });
  }

  async next(rows: Rows): Promise<Float32Array> {
    const { length } = this.rows;
    lengthsOf(rows, length, `next: each of the ${length} rows must go on`);
    rows.forEach((row, b) => {
      for (let t = 0; t < row.length; t++) this.rows[b]!.push(row[t]!);
    });
    const { contextLength } = this.model.config;
    const fresh = this.rows.some((row) => row.length > contextLength);
    if (fresh) {
      const kept = Math.max(1, contextLength >> 1);
      this.rows = this.rows.map((row) => (row.length > contextLength ? row.slice(-kept) : row));
      this.cache.dispose();
      this.cache = this.emptyCache(rows.length, contextLength);
    }
    return this.logits(fresh ? this.rows : rows);
  }

  private logits(rows: Rows): Promise<Float32Array> {
    const { model, cache } = this;
    const counts = Array.from(rows, (row) => row.length);
    const logits = evaluating(model, () => {
      const { x } = model.hidden(padded(rows, model.device), { cache, counts });
      return linear(lastOf(x, rows), model.outputWeight);
    });
    return valuesOf(logits);
  }

  reorder(rows: readonly number[]): void {
    const before = this.cache;
    this.cache = before.select(rows);
    before.dispose();
    this.rows = rows.map((from) => [...this.rows[from]!]);
  }

  fork(options: { batchSize: number; capacity: number; length: number }): Decoding {
    const { batchSize, capacity, length } = options;
    const held = this.rows[0]!.length;
    if (length > held) {
      const limit = `the ${held} tokens that the state holds of the model's context`;
      throw new ArgumentError(`fork: length must be at most ${limit}; got ${length}`);
    }
    const forked = new CausalDecoding(this.model, batchSize, capacity);
    const all = new Array<number>(batchSize).fill(0);
    const kept = this.cache.select(all, { length, capacity: forked.cache.capacity });
    forked.cache.dispose();
    forked.cache = kept;
    forked.rows = all.map(() => this.rows[0]!.slice(0, length));
    return forked;
  }

  dispose(): void {
    this.cache.dispose();
  }
}
