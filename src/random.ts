import { checkInteger } from "./errors.ts";

/** The upper 32 bits of the 64-bit product of two 32-bit words. No partial sum exceeds 32 bits. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  return aHigh * bHigh + (middle >>> 16) + ((aLow * bHigh + (middle & 0xffff)) >>> 16);
}

/**
 * Philox4x32-10: ten rounds that turn a 128-bit counter and a 64-bit key into 128 random bits.
 *
 * All arguments are 32-bit words; `out` receives four. The same words give the same bits on every device.
 *
 * @see Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3"
 */
export function philox4x32(
  keyLow: number,
  keyHigh: number,
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  out: Uint32Array,
): void {
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(0xd2511f53, c0);
    const high1 = multiplyHigh(0xcd9e8d57, c2);
    const low0 = Math.imul(0xd2511f53, c0);
    const low1 = Math.imul(0xcd9e8d57, c2);
    c0 = high1 ^ c1 ^ keyLow;
    c1 = low1;
    c2 = high0 ^ c3 ^ keyHigh;
    c3 = low0;
    keyLow = (keyLow + 0x9e3779b9) | 0;
    keyHigh = (keyHigh + 0xbb67ae85) | 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

const upperWord = (x: number): number => Math.floor(x / 2 ** 32);

/**
 * A sequence of random numbers that is a pure function of `seed`, `stream` and a position, so it resumes exactly:
 * `new Random(r.seed, r.position, r.stream)` goes on where `r` is.
 *
 * The 32-bit word at `position` is lane `position mod 4` of Philox4x32-10 with the key `seed` (low, high word) and the
 * counter `⌊position / 4⌋` (low, high word), `stream` (low, high word).
 */
export class Random {
  readonly seed: number;
  readonly stream: number;
  #position: number;
  readonly #words = new Uint32Array(4);
  #block = -1;

  /**
   * @param seed     integer from 0 to 2⁵³ - 1
   * @param position number of 32-bit words already drawn
   * @param stream   which of the independent sequences of this seed, from 0 to 2⁵³ - 1
   */
  constructor(seed: number, position = 0, stream = 0) {
    this.seed = checkInteger("Random: seed", seed, 0);
    this.stream = checkInteger("Random: stream", stream, 0);
    this.#position = checkInteger("Random: position", position, 0);
  }

  /** Number of 32-bit words drawn so far. */
  get position(): number {
    return this.#position;
  }

  #word(): number {
    const block = Math.floor(this.#position / 4);
    if (block !== this.#block) {
      const { seed, stream } = this;
      philox4x32(seed, upperWord(seed), block, upperWord(block), stream, upperWord(stream), this.#words);
      this.#block = block;
    }
    return this.#words[this.#position++ % 4]!;
  }

  /** A multiple of 2⁻²⁴ in [0, 1), which is exact in f32. Draws one word. */
  uniform(): number {
    return (this.#word() >>> 8) * 2 ** -24;
  }

  /** An integer in [0, below): 53 random bits, scaled. Draws two words. */
  integer(below: number): number {
    checkInteger("Random.integer: below", below, 1);
    const bits = (this.#word() >>> 5) * 2 ** 26 + (this.#word() >>> 6);
    return Math.floor(bits * 2 ** -53 * below);
  }

  /** A number from N(0, 1), at most 6.7 in magnitude. Draws two words. See Box & Muller 1958. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log((this.#word() + 1) * 2 ** -32));
    return radius * Math.cos(2 * Math.PI * this.#word() * 2 ** -32);
  }

  /** Puts the elements into random order, in place, each order as likely as any other (Fisher-Yates). */
  shuffle<A extends { readonly length: number; [index: number]: unknown }>(array: A): A {
    for (let i = array.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      [array[i], array[j]] = [array[j], array[i]];
    }
    return array;
  }
}
