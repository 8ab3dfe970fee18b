import { record } from "../autograd.ts";
import { defaultDevice, device } from "../device.ts";
import { checkInteger, ShapeError } from "../errors.ts";
import { kernelNamed } from "../native.ts";
import { runKernel } from "../op.ts";
import { showShape } from "../shape.ts";
import { Tensor, type TensorOptions } from "../tensor.ts";

const sinusoidalForward = kernelNamed("sinusoidal_forward");
const rotaryForward = kernelNamed("rotary_forward");

/**
 * Sinusoidal position encodings: `y[t, 2i] = sin((start + t) / 10000^(2i/C))`, `y[t, 2i + 1] = cos(…)` of the same.
 *
 * @returns `[length, channels]` f32
 * @see Vaswani et al. 2017, "Attention Is All You Need", section 3.5. (Some texts print the formula with a factor π;
 *      the paper has none.)
 */
export function sinusoidalPositions(
  length: number,
  channels: number,
  start = 0,
  options: Pick<TensorOptions, "device"> = {},
): Tensor {
  checkInteger("sinusoidalPositions: length", length, 0);
  checkInteger("sinusoidalPositions: channels", channels, 1);
  checkInteger("sinusoidalPositions: start", start, 0);
  const y = Tensor.empty([length, channels], "f32", device(options.device ?? defaultDevice()));
  runKernel(sinusoidalForward, "f32", { y, start });
  return y;
}

/**
 * Rotary position embedding: each pair of channels (i, i + D/2) is turned by an angle that grows with the position,
 * `y₁ = x₁·cos − x₂·sin`, `y₂ = x₂·cos + x₁·sin`, so that q·k depends on the distance of the two positions alone.
 *
 * @param x        `[B, T, H, D]`, D even: queries or keys
 * @param cos, sin `[T, D/2]` f32: of the angles, as `rotaryAngles` makes them
 * @see Su et al. 2021, "RoFormer"; halves as in Llama and Hugging Face, not interleaved pairs
 */
export function rotary(x: Tensor, cos: Tensor, sin: Tensor): Tensor {
  const [, T, , D] = x.shape;
  const expected = showShape([T ?? 0, (D ?? 0) / 2]);
  if (
    x.rank !== 4 ||
    D! % 2 !== 0 ||
    showShape(cos.shape) !== expected ||
    showShape(sin.shape) !== expected
  ) {
    const given = `x ${showShape(x.shape)}, cos ${showShape(cos.shape)}, sin ${showShape(sin.shape)}`;
    throw new ShapeError(`rotary: x must be [B, T, H, D] with D even, cos and sin [T, D/2]; got ${given}`);
  }
  const y = turned(x, cos, sin, 1);
  record("rotary", [x], [y], { backward: (pass, [dy]) => pass.give(x, turned(dy!, cos, sin, -1)) });
  return y;
}

function turned(x: Tensor, cos: Tensor, sin: Tensor, direction: 1 | -1): Tensor {
  const y = Tensor.empty(x.shape, x.dtype, x.device);
  runKernel(rotaryForward, x.dtype, { x, cos, sin, y, direction });
  return y;
}
