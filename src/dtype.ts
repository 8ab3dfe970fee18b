/** Element types of a tensor: IEEE single, bfloat16 (the upper half of a single), 32-bit signed integer. */
export type Dtype = "f32" | "bf16" | "i32";

export const bytesPerElement: Readonly<Record<Dtype, number>> = { f32: 4, bf16: 2, i32: 4 };

/** The typed array that holds a dtype in JavaScript. bf16 has none of its own: its bits travel as Uint16Array. */
export type DtypeArray = Float32Array | Uint16Array | Int32Array;

export const arrayTypeOf = { f32: Float32Array, bf16: Uint16Array, i32: Int32Array } as const;

const bits = new Uint32Array(1);
const single = new Float32Array(bits.buffer);

/** The bfloat16 nearest to `x` (ties to even), as 16 bits. NaN stays NaN. */
export function toBf16Bits(x: number): number {
  single[0] = x;
  const u = bits[0]!;
  if ((u & 0x7fffffff) > 0x7f800000) return (u >>> 16) | 0x40;
  return ((u + 0x7fff + ((u >>> 16) & 1)) >>> 16) & 0xffff;
}

/** The number that 16 bits of bfloat16 stand for. */
export function fromBf16Bits(b: number): number {
  bits[0] = b << 16;
  return single[0]!;
}

/** The numbers that bfloat16 values, 16 bits each, stand for. */
export function fromBf16(values: Uint16Array): Float32Array {
  const out = new Uint32Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = values[i]! << 16;
  return new Float32Array(out.buffer);
}
