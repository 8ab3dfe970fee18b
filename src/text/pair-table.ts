/** A map from pairs of integers from 0 to 2³¹ − 1 to such integers: open addressing in flat memory. */
export class PairTable {
  #size = 0;
  #slots: Int32Array; // first + 1, second, value of each slot

  constructor(capacity = 8) {
    this.#slots = new Int32Array(3 * 2 ** Math.ceil(Math.log2(2 * capacity + 2)));
  }

  /** The value, or −1. */
  get(first: number, second: number): number {
    const slot = this.#find(first, second);
    return this.#slots[slot] === 0 ? -1 : this.#slots[slot + 2]!;
  }

  set(first: number, second: number, value: number): void {
    let slot = this.#find(first, second);
    if (this.#slots[slot] === 0) {
      if (6 * ++this.#size > this.#slots.length) {
        this.#grow();
        slot = this.#find(first, second);
      }
      this.#slots[slot] = first + 1;
      this.#slots[slot + 1] = second;
    }
    this.#slots[slot + 2] = value;
  }

  #find(first: number, second: number): number {
    const mask = this.#slots.length / 3 - 1;
    let hash = Math.imul(first, 0x9e3779b1) ^ Math.imul(second + 1, 0x85ebca6b);
    hash ^= hash >>> 15;
    for (let i = hash & mask; ; i = (i + 1) & mask) {
      const slot = 3 * i;
      const key = this.#slots[slot]!;
      if (key === 0 || (key === first + 1 && this.#slots[slot + 1] === second)) return slot;
    }
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Int32Array(2 * old.length);
    for (let i = 0; i < old.length; i += 3) {
      if (old[i] === 0) continue;
      const slot = this.#find(old[i]! - 1, old[i + 1]!);
      this.#slots.set(old.subarray(i, i + 3), slot);
    }
  }
}
