import { filled } from "../autograd.ts";
import type { Device } from "../device.ts";
import { ArgumentError, checkInteger, ShapeError } from "../errors.ts";
import { unscoped } from "../memory.ts";
import { copyInto } from "../op.ts";
import { cacheWrite } from "../ops/cache.ts";
import { reshape, slice, transpose } from "../ops/views.ts";
import { showShape } from "../shape.ts";
import { Tensor, tensor } from "../tensor.ts";

/** What a layer attends to when its new keys and values have joined those of the cache. */
export interface CachedKeys {
  /** `[B, S, G, D]` */
  k: Tensor;
  v: Tensor;
  /** `[B]` i32, where the rows hold different numbers of tokens: how many keys of each count. */
  lengths?: Tensor;
}

/** Keys and values of one layer. */
export class LayerCache {
  private readonly owner: KeyValueCache;
  private keys: Tensor | undefined;
  private values: Tensor | undefined;
  /** Of what cross-attention attends to: the same for every token, so projected once. */
  private memory: [k: Tensor, v: Tensor] | undefined;

  constructor(owner: KeyValueCache) {
    this.owner = owner;
  }

  /** @internal Writes the keys and values `[B, T, G, D]` of the new tokens behind those of the tokens before. */
  extend(k: Tensor, v: Tensor): CachedKeys {
    const { owner } = this;
    const [B, T, G, D] = k.shape as [number, number, number, number];
    owner.check(B, T);
    this.keys ??= emptyKeys([B, owner.capacity, G, D], k, true);
    this.values ??= emptyKeys([B, owner.capacity, G, D], v, true);
    const begins = owner.begins(k.device);
    cacheWrite(this.keys, k, begins);
    cacheWrite(this.values, v, begins);
    const seen = Math.max(...owner.counts) + T;
    const [keys, values] = [part(this.keys, 0, seen), part(this.values, 0, seen)];
    return owner.isUniform
      ? { k: keys, v: values }
      : { k: keys, v: values, lengths: owner.lengthsAfter(T, k.device) };
  }

  /** @internal `[B, 1]` i32: the first key that the next token of each row sees through a window of so many. */
  firstSeen(window: number, device: Device): Tensor {
    return this.owner.firstSeen(window, device);
  }

  /** @internal Whether it holds keys and values for cross-attention. */
  get hasMemory(): boolean {
    return this.memory !== undefined;
  }

  /** @internal Keys and values of the memory, made by `project` the first time. */
  remember(project: () => [Tensor, Tensor]): [k: Tensor, v: Tensor] {
    this.memory ??= unscoped(project);
    return this.memory;
  }

  /** @internal */
  select(rows: readonly number[], owner: KeyValueCache, movesMemory: boolean): LayerCache {
    const chosen = new LayerCache(owner);
    const take = (t: Tensor, used: number, length: number): Tensor => {
      const to = emptyKeys([rows.length, length, ...t.shape.slice(2)], t, !owner.isUniform);
      rows.forEach((from, i) => copyInto(part(row(t, from), 0, used), part(row(to, i), 0, used)));
      return to;
    };
    const used = Math.max(0, ...owner.counts);
    const all = (t: Tensor) => take(t, t.shape[1]!, t.shape[1]!);
    unscoped(() => {
      chosen.keys = this.keys && take(this.keys, used, owner.capacity);
      chosen.values = this.values && take(this.values, used, owner.capacity);
      if (!movesMemory) chosen.memory = this.memory && [all(this.memory[0]), all(this.memory[1])];
    });
    if (movesMemory) [chosen.memory, this.memory] = [this.memory, undefined];
    return chosen;
  }

  dispose(): void {
    for (const t of [this.keys, this.values, ...(this.memory ?? [])]) t?.dispose();
    this.keys = this.values = this.memory = undefined;
  }
}

/**
 * Memory for keys `[B, S, G, D]`, which lies as `[B, G, S, D]`: a token reads the keys of one head after the
 * other, from end to end.
 */
function emptyKeys([B, S, G, D]: readonly number[], { dtype, device }: Tensor, cleared: boolean): Tensor {
  return unscoped(() => {
    const t = Tensor.empty([B!, G!, S!, D!], dtype, device);
    // Behind the end of a row that is shorter than others stands what attention may multiply by 0.
    return transpose(cleared ? filled(t, 0) : t, 1, 2);
  });
}

const part = (t: Tensor, start: number, count: number): Tensor => slice(t, 1, start, start + count);
const row = (t: Tensor, b: number): Tensor => slice(t, 0, b, b + 1);

/**
 * Keys and values of the tokens so far, for every layer of a model: what generation need not compute again.
 *
 * A call of the model with a cache takes the tokens that are new. Rows may hold different numbers of tokens, but then
 * they go on by one token at a time. To be used within `noGrad`; the memory is freed by `dispose()` or the garbage
 * collector.
 *
 * @see Pope et al. 2022, "Efficiently Scaling Transformer Inference"
 */
export class KeyValueCache {
  layers: readonly LayerCache[];
  /** The most tokens that a row can hold. */
  readonly capacity: number;
  /** Tokens that each row holds. */
  counts: readonly number[];
  /** What depends on `counts`, made once for all layers. */
  private made = new Map<string, Tensor>();

  constructor(options: { numLayers: number; batchSize: number; capacity: number }) {
    const { numLayers, batchSize, capacity } = options;
    checkInteger("KeyValueCache: numLayers", numLayers, 0);
    checkInteger("KeyValueCache: batchSize", batchSize, 1);
    this.capacity = checkInteger("KeyValueCache: capacity", capacity, 1);
    this.counts = new Array<number>(batchSize).fill(0);
    this.layers = Array.from({ length: numLayers }, () => new LayerCache(this));
  }

  /** Whether all rows hold the same number of tokens. */
  get isUniform(): boolean {
    return this.counts.every((count) => count === this.counts[0]);
  }

  /** @internal The position of the next token: a number, or `[B]` i32 where the rows differ. */
  position(device: Device): number | Tensor {
    return this.isUniform ? this.counts[0]! : this.begins(device);
  }

  /** @internal `[B]` i32: where the next token of each row goes. */
  begins(device: Device): Tensor {
    return this.derived("begins", (count) => count, device);
  }

  /** @internal `[B]` i32: how many tokens each row will hold with T more. */
  lengthsAfter(T: number, device: Device): Tensor {
    return this.derived("lengths", (count) => count + T, device);
  }

  /** @internal See LayerCache. */
  firstSeen(window: number, device: Device): Tensor {
    return reshape(
      this.derived(`window ${window}`, (count) => Math.max(0, count + 1 - window), device),
      [this.counts.length, 1],
    );
  }

  private derived(name: string, of: (count: number) => number, device: Device): Tensor {
    let t = this.made.get(name);
    if (t === undefined) {
      t = unscoped(() => tensor(Int32Array.from(this.counts, of), [this.counts.length], { device }));
      this.made.set(name, t);
    }
    return t;
  }

  /** @internal Throws unless T tokens for each of B rows fit. */
  check(B: number, T: number): void {
    const { counts, capacity } = this;
    if (B !== counts.length) {
      throw new ShapeError(
        `KeyValueCache: the batch must have its ${counts.length} rows; got ${showShape([B, T])}`,
      );
    }
    const most = Math.max(...counts);
    if (most + T > capacity) {
      throw new ArgumentError(
        `KeyValueCache: ${most} + ${T} tokens must fit into its capacity; got ${capacity}`,
      );
    }
    if (T > 1 && !this.isUniform) {
      throw new ArgumentError(`KeyValueCache: rows of different lengths go on by one token; got ${T}`);
    }
  }

  /** @internal Counts the tokens of a call: T in each row, or as many as `lengths` says where the rest is padding. */
  advance(T: number, lengths?: readonly number[]): void {
    this.counts = this.counts.map((count, b) => count + (lengths?.[b] ?? T));
    this.forget();
  }

  /** Forgets all but the first `length` tokens of each row. */
  truncate(length: number): void {
    checkInteger("KeyValueCache: length", length, 0);
    this.counts = this.counts.map((count) => Math.min(count, length));
    this.forget();
  }

  private forget(): void {
    for (const t of this.made.values()) t.dispose();
    this.made.clear();
  }

  /**
   * A cache of its own whose row i holds what row `rows[i]` of this one holds.
   *
   * @param options.length   only so many of the first tokens. Default all
   * @param options.capacity default that of this one
   * @param options.movesMemory the keys of cross-attention stay those of row i and go over: this cache is left without
   */
  select(
    rows: readonly number[],
    options: { length?: number; capacity?: number; movesMemory?: boolean } = {},
  ): KeyValueCache {
    const { length = Infinity, capacity = this.capacity, movesMemory = false } = options;
    for (const from of rows) checkInteger("KeyValueCache: row", from, 0, this.counts.length - 1);
    const chosen = new KeyValueCache({ numLayers: 0, batchSize: rows.length, capacity });
    chosen.counts = rows.map((from) => Math.min(this.counts[from]!, length));
    chosen.check(rows.length, 0);
    chosen.layers = this.layers.map((layer) => layer.select(rows, chosen, movesMemory));
    return chosen;
  }

  dispose(): void {
    for (const layer of this.layers) layer.dispose();
    this.forget();
  }
}
