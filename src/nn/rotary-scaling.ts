import { ArgumentError, checkNumber } from "../errors.ts";

/**
 * How rotary frequencies change for sequences longer than the model was first trained with, as the rope_parameters
 * (or rope_scaling) of a Hugging Face configuration say.
 *
 * - linear: positions divided by `factor` (Chen et al. 2023, "Position Interpolation")
 * - dynamic: a larger base once the sequence is longer than the model's length ("NTK-aware")
 * - yarn: slow pairs interpolated, fast ones kept, a ramp between them (Peng et al. 2023)
 * - llama3: the same by wavelength (Llama 3.1)
 * - longrope: a factor for each pair, one list for short and one for long sequences (Ding et al. 2024)
 */
export type RotaryScaling =
  | { type: "linear"; factor: number }
  | { type: "dynamic"; factor: number }
  | {
      type: "yarn";
      factor: number;
      originalLength: number;
      betaFast?: number;
      betaSlow?: number;
      /** Whether the ends of the ramp are whole pairs. Default true. */
      truncate?: boolean;
      attentionFactor?: number;
      mscale?: number;
      mscaleAllDim?: number;
    }
  | {
      type: "llama3";
      factor: number;
      originalLength: number;
      lowFrequencyFactor: number;
      highFrequencyFactor: number;
    }
  | {
      type: "longrope";
      factor: number;
      originalLength: number;
      shortFactor: readonly number[];
      longFactor: readonly number[];
      attentionFactor?: number;
    };

/** Position t turns pair i by t · frequencies[i]; cosines and sines are multiplied by `factor`. */
export interface RotaryFrequencies {
  frequencies: number[];
  factor: number;
}

interface RotarySetting {
  base: number;
  headSize: number;
  /** Positions of the model. */
  maxPositions: number;
  scaling?: RotaryScaling | undefined;
}

/** Whether the frequencies for a sequence of this length are others than for a short one. */
export function dependsOnLength({ maxPositions, scaling }: RotarySetting, sequence: number): boolean {
  if (scaling?.type === "dynamic") return sequence > maxPositions;
  return scaling?.type === "longrope" && sequence > scaling.originalLength;
}

/**
 * The frequencies of the D/2 pairs, `base^(−2i/D)` without scaling.
 *
 * @param sequence length of the sequence, which "dynamic" and "longrope" ask for
 */
export function rotaryFrequencies(setting: RotarySetting, sequence: number): RotaryFrequencies {
  const { base, headSize: D, maxPositions, scaling } = setting;
  const plain = Array.from({ length: D / 2 }, (_, i) => base ** ((-2 * i) / D));
  if (scaling === undefined) return { frequencies: plain, factor: 1 };
  checkNumber("RotaryPositions: scaling.factor", scaling.factor, 1);
  const s = scaling.factor;
  switch (scaling.type) {
    case "linear":
      return { frequencies: plain.map((f) => f / s), factor: 1 };
    case "dynamic": {
      const reached = Math.max(sequence, maxPositions);
      const larger = base * ((s * reached) / maxPositions - (s - 1)) ** (D / (D - 2));
      return { frequencies: plain.map((_, i) => larger ** ((-2 * i) / D)), factor: 1 };
    }
    case "yarn":
      return yarn(setting, scaling, plain);
    case "llama3": {
      const { originalLength: L, lowFrequencyFactor: low, highFrequencyFactor: high } = scaling;
      const frequencies = plain.map((f) => {
        const wavelength = (2 * Math.PI) / f;
        if (wavelength < L / high) return f;
        if (wavelength > L / low) return f / s;
        const smooth = (L / wavelength - low) / (high - low);
        return ((1 - smooth) * f) / s + smooth * f;
      });
      return { frequencies, factor: 1 };
    }
    case "longrope": {
      const { originalLength: L } = scaling;
      const divisors = sequence > L ? scaling.longFactor : scaling.shortFactor;
      if (divisors.length !== D / 2) {
        throw new ArgumentError(
          `RotaryPositions: scaling.shortFactor and longFactor must have ${D / 2} numbers; got ${divisors.length}`,
        );
      }
      const grown = s > 1 ? Math.sqrt(1 + Math.log(s) / Math.log(L)) : 1;
      return { frequencies: plain.map((f, i) => f / divisors[i]!), factor: scaling.attentionFactor ?? grown };
    }
    default:
      throw new ArgumentError(
        `RotaryPositions: scaling.type must be one of linear, dynamic, yarn, llama3, longrope; got ${String((scaling as { type: unknown }).type)}`,
      );
  }
}

/** @see Peng et al. 2023, "YaRN: Efficient Context Window Extension of Large Language Models", section 3 */
function yarn(
  { base, headSize: D }: RotarySetting,
  scaling: Extract<RotaryScaling, { type: "yarn" }>,
  plain: readonly number[],
): RotaryFrequencies {
  const { factor: s, originalLength, betaFast = 32, betaSlow = 1, truncate = true } = scaling;
  /** The pair that turns `rotations` times within the original length. */
  const pairOf = (rotations: number) =>
    (D * Math.log(originalLength / (rotations * 2 * Math.PI))) / (2 * Math.log(base));
  const [fast, slow] = [pairOf(betaFast), pairOf(betaSlow)];
  const low = Math.max(truncate ? Math.floor(fast) : fast, 0);
  const high = Math.min(truncate ? Math.ceil(slow) : slow, D - 1);
  const width = low === high ? 0.001 : high - low;
  const frequencies = plain.map((f, i) => {
    const interpolated = Math.min(1, Math.max(0, (i - low) / width));
    return (f / s) * interpolated + f * (1 - interpolated);
  });
  const magnitude = (k: number) => (s > 1 ? 0.1 * k * Math.log(s) + 1 : 1);
  const { mscale, mscaleAllDim } = scaling;
  const factor = mscale && mscaleAllDim ? magnitude(mscale) / magnitude(mscaleAllDim) : magnitude(1);
  return { frequencies, factor: scaling.attentionFactor ?? factor };
}
