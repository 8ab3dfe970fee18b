import { ArgumentError, ShapeError } from "../../errors.ts";
import { showShape } from "../../shape.ts";

/** Samples of an image, row-major: bytes are 0 to 255, floats 0 to 1. */
export interface ImageArray {
  readonly data: Uint8Array | Float32Array;
  readonly shape: readonly number[];
}

/** The order of the axes: height, width, channels. */
export type ImageLayout = "CHW" | "HWC" | "HW";

export interface ImageSamples {
  /** [height, width, channels] */
  readonly samples: Uint8Array;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/**
 * Bytes of an image, channels last. Floats become ⌊255 x⌋, cut to 0 … 255, as torch's writer does it.
 *
 * @throws ShapeError unless the shape is that of the layout, with 1 to 4 channels; ArgumentError for another layout
 */
export function imageSamples({ data, shape }: ImageArray, layout: ImageLayout): ImageSamples {
  if (!["CHW", "HWC", "HW"].includes(layout))
    throw new ArgumentError(`addImage: dataformats must be "CHW", "HWC" or "HW"; got ${String(layout)}`);
  const axis = (name: string) => (layout.includes(name) ? shape[layout.indexOf(name)]! : 1);
  const [height, width, channels] = [axis("H"), axis("W"), axis("C")];
  const isFull = [height, width, channels].every((n) => Number.isSafeInteger(n) && n > 0);
  if (shape.length !== layout.length || !isFull || channels > 4 || data.length !== height * width * channels)
    throw new ShapeError(
      `addImage: the image must be ${layout} with 1 to 4 channels; got ${showShape(shape)} and ${data.length} samples`,
    );
  const samples = new Uint8Array(data.length);
  const pixels = height * width;
  for (let i = 0; i < data.length; i++) {
    const [pixel, channel] =
      layout === "CHW" ? [i % pixels, Math.floor(i / pixels)] : [Math.floor(i / channels), i % channels];
    const value = data instanceof Float32Array ? 255 * data[i]! : data[i]!;
    samples[pixel * channels + channel] = Math.max(0, Math.min(255, value)); // NaN becomes 0
  }
  return { samples, height, width, channels };
}
