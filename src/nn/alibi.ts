import { checkInteger } from "../errors.ts";

/**
 * Slopes of ALiBi, one a head: a score falls by slope · distance. 2^(−8/H), 2^(−16/H) … for a power of two H; else those
 * of the next smaller power and every other one of twice that.
 *
 * @see Press et al. 2022, "Train Short, Test Long: Attention with Linear Biases Enables Input Length Extrapolation"
 */
export function alibiSlopes(numHeads: number): number[] {
  checkInteger("alibiSlopes: numHeads", numHeads, 1);
  const power = 2 ** Math.floor(Math.log2(numHeads));
  const slopes = (count: number) => Array.from({ length: count }, (_, h) => 2 ** ((-8 * (h + 1)) / count));
  const between = slopes(2 * power).filter((_, h) => h % 2 === 0);
  return [...slopes(power), ...between.slice(0, numHeads - power)];
}
