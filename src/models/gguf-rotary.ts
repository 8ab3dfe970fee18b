import { CheckpointError } from "../errors.ts";
import type { StoredTensor } from "../io/stored-tensor.ts";

/** Llama 3's scaling of rotary frequencies, as Hugging Face's `rope_parameters` have it. */
export interface Llama3Scaling {
  rope_type: "llama3";
  factor: number;
  low_freq_factor: number;
  high_freq_factor: number;
  original_max_position_embeddings: number;
}

/**
 * What each rotary frequency is divided by, [headSize / 2]: 1 for those whose wavelength is below L / high, `factor`
 * above L / low, where L is the original length, and a ramp between; GGUF's tensor `rope_freqs.weight`.
 */
export function toFactors(scaling: Llama3Scaling, theta: number, headSize: number): Float32Array {
  const {
    factor,
    low_freq_factor: low,
    high_freq_factor: high,
    original_max_position_embeddings: L,
  } = scaling;
  return Float32Array.from({ length: headSize / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / headSize);
    if (wavelength < L / high) return 1;
    if (wavelength > L / low) return factor;
    const smooth = (L / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

/** The scaling that these factors are of. @throws ERR_CHECKPOINT if they are of no model of Llama 3's family */
export function toScaling(
  tensor: StoredTensor,
  theta: number,
  headSize: number,
  source: string,
): Llama3Scaling {
  const given = tensor.data as Float32Array;
  const isClose = (x: number, i: number) => Math.abs(x - given[i]!) <= 1e-4 * x;
  if (given.length === Math.floor(headSize / 2)) {
    // The longest wavelength is scaled whole. All models of the family have 1 and 4, and a power of two as their length.
    for (let length = 2 ** 20; length >= 16; length /= 2) {
      const scaling: Llama3Scaling = {
        ...{ rope_type: "llama3", factor: Number((given.at(-1) ?? 1).toPrecision(5)) },
        ...{ low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: length },
      };
      if (toFactors(scaling, theta, headSize).every(isClose)) return scaling;
    }
  }
  throw new CheckpointError(
    `${source}: tensor rope_freqs.weight must hold Llama 3's factors of ${headSize / 2} frequencies; got ${given.length} others`,
  );
}
