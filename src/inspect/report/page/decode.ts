import type { Section } from "../header.ts";

export type Numbers = Float32Array | Uint16Array | Uint32Array | Int16Array;

/** The numbers of a section from its inflated bytes: see header.ts for what each kind means. */
export function decode(bytes: Uint8Array, { kind, max = 1 }: Section): Numbers {
  const { buffer } = bytes;
  if (kind === "u16") return new Uint16Array(buffer);
  if (kind === "u32") return new Uint32Array(buffer);
  if (kind === "graph") return new Int16Array(buffer);
  if (kind === "sqrt8") return Float32Array.from(bytes, (byte) => (byte / 255) ** 2 * max);
  return Float32Array.from(new Uint16Array(buffer), (bits) => (half(bits) * max) / 1024);
}

/** IEEE half precision: 1 sign, 5 exponent, 10 fraction. */
function half(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction ? Number.NaN : sign * Infinity;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

/** `base64(deflate-raw(bytes))`, in a buffer of its own. */
export async function inflate(text: string): Promise<Uint8Array> {
  const raw = atob(text);
  const packed = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) packed[i] = raw.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
