import type { Device } from "../device.ts";
import { ArgumentError, checkInteger, checkNumber } from "../errors.ts";
import { unscoped } from "../memory.ts";
import { embedding } from "../ops/embedding.ts";
import { rotary } from "../ops/positions.ts";
import { reshape, slice } from "../ops/views.ts";
import { type Tensor, tensor } from "../tensor.ts";
import { Module } from "./module.ts";
import { checkLength, type Position } from "./positions.ts";
import { dependsOnLength, type RotaryScaling, rotaryFrequencies } from "./rotary-scaling.ts";

export interface RotaryOptions {
  /** θ in the Llama configurations: without scaling, position t turns pair i by t · base^(−2i/D). Default 10000. */
  base?: number;
  /** For sequences longer than the model was first trained with. */
  scaling?: RotaryScaling | undefined;
}

/** Cosines and sines `[positions, D/2]` f32. */
interface Tables {
  cos: Tensor;
  sin: Tensor;
  device: Device;
  /** Length of the sequence for which they hold, if that matters. */
  sequence: number | undefined;
}

/** Rotary positions (Su et al. 2021) for queries and keys `[B, T, H, D]`. Nothing is trained. */
export class RotaryPositions extends Module<[x: Tensor, start?: Position, end?: number], Tensor> {
  readonly maxPositions: number;
  readonly headSize: number;
  readonly base: number;
  readonly scaling: RotaryScaling | undefined;
  private tables: Tables | undefined;

  /** @param maxPositions the most positions, but with "dynamic" scaling: from there on the frequencies change */
  constructor(maxPositions: number, headSize: number, options: RotaryOptions = {}) {
    super();
    this.maxPositions = checkInteger("RotaryPositions: maxPositions", maxPositions, 1);
    this.headSize = checkInteger("RotaryPositions: headSize", headSize, 2);
    if (headSize % 2 !== 0)
      throw new ArgumentError(`RotaryPositions: headSize must be even; got ${headSize}`);
    this.base = checkNumber("RotaryPositions: base", options.base ?? 10000, 1);
    this.scaling = options.scaling;
    rotaryFrequencies(this, 1); // throws on what cannot be
  }

  /**
   * @param start position of the first row of `x`, for keys that follow a cache, or of each row. Default 0
   * @param end   the position after the last one of any row, where `start` is a tensor
   */
  forward(x: Tensor, start: Position = 0, end?: number): Tensor {
    const [B, T, H, D] = x.shape as [number, number, number, number];
    const last = typeof start === "number" ? start + T : (end ?? this.maxPositions);
    if (this.scaling?.type !== "dynamic") checkLength("RotaryPositions", 0, last, this.maxPositions);
    const { cos, sin } = this.tablesFor(last, x.device);
    if (typeof start === "number") return rotary(x, slice(cos, 0, start, last), slice(sin, 0, start, last));
    // A token for each row, at a place of its own: as many positions of one sequence.
    const turned = rotary(reshape(x, [1, B, H, D]), embedding(start, cos), embedding(start, sin));
    return reshape(turned, [B, 1, H, D]);
  }

  /** The tables grow with the longest sequence so far, by doubling. */
  private tablesFor(length: number, device: Device): Tables {
    const sequence = dependsOnLength(this, length) ? length : undefined;
    const kept = this.tables;
    if (kept?.device === device && kept.sequence === sequence && length <= kept.cos.shape[0]!) return kept;
    const rows = sequence ?? Math.max(length, Math.min(this.maxPositions, 2 ** Math.ceil(Math.log2(length))));
    const { frequencies, factor } = rotaryFrequencies(this, length);
    const half = frequencies.length;
    const table = (f: (angle: number) => number) => {
      const values = Float32Array.from(
        { length: rows * half },
        (_, n) => factor * f(Math.floor(n / half) * frequencies[n % half]!),
      );
      return unscoped(() => tensor(values, [rows, half], { device }));
    };
    return (this.tables = { cos: table(Math.cos), sin: table(Math.sin), device, sequence });
  }
}
