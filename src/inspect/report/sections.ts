import { deflateRawSync } from "node:zlib";
import { toHalfBits } from "../../io/half.ts";
import type { Section, SectionKind } from "./header.ts";

/** The sections of a page, by name: what the header says of them, and their bytes in the file. */
export class Sections {
  readonly headers: Record<string, Section> = {};
  private readonly texts = new Map<string, string>();

  /** Characters of all sections in the file. */
  get size(): number {
    return [...this.texts].reduce((sum, [name, text]) => sum + tag(name, text).length + 1, 0);
  }

  private put(
    name: string,
    kind: SectionKind,
    shape: readonly number[],
    data: ArrayBufferView,
    max?: number,
  ): void {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.texts.set(name, deflateRawSync(bytes, { level: 9 }).toString("base64"));
    this.headers[name] = max === undefined ? { kind, shape } : { kind, shape, max };
  }

  /** Halves of 1024 · value / max: 11 significant bits down to max · 6e-8. NaN stays: "not measured". */
  f16(name: string, shape: readonly number[], values: Float32Array): void {
    const max = largest(values);
    this.put(
      name,
      "f16",
      shape,
      Uint16Array.from(values, (v) => toHalfBits((v * 1024) / max)),
      max,
    );
  }

  /** Integers, two bytes each where they fit. */
  integers(name: string, shape: readonly number[], values: ArrayLike<number>): void {
    let most = 0;
    for (let i = 0; i < values.length; i++) most = Math.max(most, values[i]!);
    if (most <= 0xffff) this.put(name, "u16", shape, Uint16Array.from(values));
    else this.put(name, "u32", shape, Uint32Array.from(values));
  }

  /** u8 of 255 · sqrt(value / max): wrong by at most 0.0039 · sqrt(value · max), so that small ones stay visible. */
  sqrt8(name: string, shape: readonly number[], values: Float32Array, max = 1): void {
    const scale = max > 0 ? 1 / max : 0;
    const bytes = Uint8Array.from(values, (v) =>
      Math.round(255 * Math.sqrt(Math.min(1, Math.max(0, v * scale)))),
    );
    this.put(name, "sqrt8", shape, bytes, max);
  }

  graph(name: string, numbers: Int16Array, shape: readonly number[], max: number): void {
    this.put(name, "graph", shape, numbers, max);
  }

  html(): string {
    return [...this.texts].map(([name, text]) => tag(name, text)).join("\n");
  }
}

/** The largest magnitude of finite values; 1 where there is none. */
export function largest(values: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i]!);
    if (size > most && size < Infinity) most = size;
  }
  return most || 1;
}

const tag = (name: string, text: string): string =>
  `<script type="text/plain" data-section="${name}">${text}</script>`;
