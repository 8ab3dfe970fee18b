import { halfTable, toHalfBits } from "./half.ts";

// Blocks of quantized numbers. d, m and dmin are halves; q are integers of a few bits; all little-endian.
//
//   type   elements  block                                              element
//   Q4_0   32        d, 16 bytes of two q each                          (q - 8) · d
//   Q4_1   32        d, m, 16 bytes                                     q · d + m
//   Q8_0   32        d, 32 q, signed                                    q · d
//   Q4_K   256       d, dmin, 12 bytes of scales, 128 bytes             q · d · scale - dmin · min
//   Q6_K   256       128 bytes, 64 bytes, 16 scales, d                  (q - 32) · d · scale
//
// Q4_0 and Q4_1 keep the elements 0 … 15 in the low half of each byte and 16 … 31 in the high one.
// https://github.com/ggml-org/llama.cpp, ggml-common.h and ggml-quants.c

/** Fills `out` with what the blocks of one type stand for. */
export type Decode = (blocks: Uint8Array, out: Float32Array) => void;

function decodeQ4(blocks: Uint8Array, out: Float32Array): void {
  const half = halfTable();
  for (let p = 0, at = 0; at < out.length; p += 18, at += 32) {
    const d = half[blocks[p]! | (blocks[p + 1]! << 8)]!;
    for (let i = 0; i < 16; i++) {
      const q = blocks[p + 2 + i]!;
      out[at + i] = ((q & 15) - 8) * d;
      out[at + 16 + i] = ((q >> 4) - 8) * d;
    }
  }
}

function decodeQ41(blocks: Uint8Array, out: Float32Array): void {
  const half = halfTable();
  for (let p = 0, at = 0; at < out.length; p += 20, at += 32) {
    const d = half[blocks[p]! | (blocks[p + 1]! << 8)]!;
    const m = half[blocks[p + 2]! | (blocks[p + 3]! << 8)]!;
    for (let i = 0; i < 16; i++) {
      const q = blocks[p + 4 + i]!;
      out[at + i] = (q & 15) * d + m;
      out[at + 16 + i] = (q >> 4) * d + m;
    }
  }
}

function decodeQ8(blocks: Uint8Array, out: Float32Array): void {
  const half = halfTable();
  for (let p = 0, at = 0; at < out.length; p += 34, at += 32) {
    const d = half[blocks[p]! | (blocks[p + 1]! << 8)]!;
    for (let i = 0; i < 32; i++) out[at + i] = ((blocks[p + 2 + i]! << 24) >> 24) * d;
  }
}

/**
 * The 12 bytes hold 8 scales and 8 minima of 6 bits: of the first four each, byte j and j + 4 have all bits; of the
 * others, the bytes from 8 on have the low four and the upper two are those that the first bytes leave.
 */
function decodeQ4K(blocks: Uint8Array, out: Float32Array): void {
  const half = halfTable();
  for (let p = 0, at = 0; at < out.length; p += 144, at += 256) {
    const d = half[blocks[p]! | (blocks[p + 1]! << 8)]!;
    const dmin = half[blocks[p + 2]! | (blocks[p + 3]! << 8)]!;
    const s = p + 4;
    for (let j = 0; j < 8; j++) {
      let scale = blocks[s + j]! & 63;
      let min = blocks[s + j + 4]! & 63;
      if (j >= 4) {
        scale = (blocks[s + j + 4]! & 15) | ((blocks[s + j - 4]! >> 6) << 4);
        min = (blocks[s + j + 4]! >> 4) | ((blocks[s + j]! >> 6) << 4);
      }
      const [a, b] = [d * scale, dmin * min];
      const from = p + 16 + (j >> 1) * 32;
      const shift = (j & 1) * 4;
      const to = at + 32 * j;
      for (let i = 0; i < 32; i++) out[to + i] = ((blocks[from + i]! >> shift) & 15) * a - b;
    }
  }
}

/** Of each half of 128 elements, 64 bytes have the low four bits and 32 bytes the upper two; a scale is of 16 elements. */
function decodeQ6K(blocks: Uint8Array, out: Float32Array): void {
  const half = halfTable();
  for (let p = 0, at = 0; at < out.length; p += 210, at += 256) {
    const d = half[blocks[p + 208]! | (blocks[p + 209]! << 8)]!;
    for (let part = 0; part < 8; part++) {
      const [h, group] = [part >> 2, part & 3];
      const low = p + 64 * h + 32 * (group & 1);
      const lowShift = 4 * (group >> 1);
      const high = p + 128 + 32 * h;
      const to = at + 32 * part;
      const s = p + 192 + 2 * part;
      const first = d * ((blocks[s]! << 24) >> 24);
      const second = d * ((blocks[s + 1]! << 24) >> 24);
      for (let i = 0; i < 32; i++) {
        const q = ((blocks[low + i]! >> lowShift) & 15) | (((blocks[high + i]! >> (2 * group)) & 3) << 4);
        out[to + i] = (q - 32) * (i < 16 ? first : second);
      }
    }
  }
}

/** By the name of the type. */
export const decoders: ReadonlyMap<string, Decode> = new Map<string, Decode>([
  ["Q4_0", decodeQ4],
  ["Q4_1", decodeQ41],
  ["Q8_0", decodeQ8],
  ["Q4_K", decodeQ4K],
  ["Q6_K", decodeQ6K],
]);

/** The blocks of `numbers`, whose length is a multiple of 32 and which are finite. */
export type Encode = (numbers: Float32Array) => Uint8Array;

/** d = max |x| / 127 and q = x / d, rounded, halves away from zero; d is a single while it divides. */
function encodeQ8(numbers: Float32Array): Uint8Array {
  const blocks = new Uint8Array((numbers.length / 32) * 34);
  for (let p = 0, at = 0; at < numbers.length; p += 34, at += 32) {
    let max = 0;
    for (let i = 0; i < 32; i++) max = Math.max(max, Math.abs(numbers[at + i]!));
    const d = Math.fround(max / 127);
    const inverse = d === 0 ? 0 : Math.fround(1 / d);
    const bits = toHalfBits(d);
    blocks[p] = bits;
    blocks[p + 1] = bits >> 8;
    for (let i = 0; i < 32; i++) {
      const x = Math.fround(numbers[at + i]! * inverse);
      blocks[p + 2 + i] = x < 0 ? -Math.floor(0.5 - x) : Math.floor(x + 0.5);
    }
  }
  return blocks;
}

/** d = x / -8 of the x of largest magnitude, so that it is met exactly, and q = x / d + 8, rounded, at most 15. */
function encodeQ4(numbers: Float32Array): Uint8Array {
  const blocks = new Uint8Array((numbers.length / 32) * 18);
  for (let p = 0, at = 0; at < numbers.length; p += 18, at += 32) {
    let extreme = 0;
    for (let i = 0; i < 32; i++) {
      const x = numbers[at + i]!;
      if (Math.abs(x) > Math.abs(extreme)) extreme = x;
    }
    const d = Math.fround(extreme / -8);
    const inverse = d === 0 ? 0 : Math.fround(1 / d);
    const bits = toHalfBits(d);
    blocks[p] = bits;
    blocks[p + 1] = bits >> 8;
    const q = (x: number) => Math.min(15, Math.trunc(x * inverse + 8.5));
    for (let i = 0; i < 16; i++) blocks[p + 2 + i] = q(numbers[at + i]!) | (q(numbers[at + 16 + i]!) << 4);
  }
  return blocks;
}

/** By the name of the type. */
export const encoders: ReadonlyMap<string, Encode> = new Map<string, Encode>([
  ["Q4_0", encodeQ4],
  ["Q8_0", encodeQ8],
]);
