// IEEE half precision as 16 bits: 1 sign, 5 exponent, 10 fraction.

function fromHalfBits(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

let table: Float32Array | undefined;

/** The number that each of the 65,536 halves stands for, by its bits. */
export function halfTable(): Float32Array {
  return (table ??= Float32Array.from({ length: 0x10000 }, (_, bits) => fromHalfBits(bits)));
}

export function decodeHalves(halves: Uint16Array): Float32Array {
  const numbers = halfTable();
  const out = new Float32Array(halves.length);
  for (let i = 0; i < out.length; i++) out[i] = numbers[halves[i]!]!;
  return out;
}

/** Numbers of this magnitude and above round to infinity. */
export const halfLimit = 65520;

const bits = new Uint32Array(1);
const single = new Float32Array(bits.buffer);

/** The half nearest to the single `x` (ties to even), as 16 bits. */
export function toHalfBits(x: number): number {
  single[0] = x;
  const u = bits[0]!;
  const sign = (u >>> 16) & 0x8000;
  const magnitude = u & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Below 2⁻¹⁴ halves are multiples of 2⁻²⁴, and adding 2⁻¹ rounds a single to just these.
    bits[0] = magnitude;
    single[0] = single[0]! + 0.5;
    return sign | (bits[0]! - 0x3f000000);
  }
  // The exponent's bias goes from 127 to 15, 13 bits of fraction go away.
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
}
