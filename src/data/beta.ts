import type { Random } from "../random.ts";

/** A number from Beta(α, α): `A / (A + B)` of two numbers from Gamma(α), whose logarithms do not underflow. */
export function symmetricBeta(random: Random, alpha: number): number {
  const [a, b] = [logGamma(random, alpha), logGamma(random, alpha)];
  return 1 / (1 + Math.exp(b - a));
}

/**
 * The logarithm of a number from Gamma(α).
 *
 * @see Marsaglia & Tsang 2000, "A Simple Method for Generating Gamma Variables"
 */
function logGamma(random: Random, alpha: number): number {
  // Gamma(α) is that of α + 1, times u to the power of 1/α.
  if (alpha < 1) return logGamma(random, alpha + 1) + Math.log(1 - random.uniform()) / alpha;
  const d = alpha - 1 / 3;
  for (;;) {
    const x = random.normal();
    const v = (1 + x / Math.sqrt(9 * d)) ** 3;
    if (v <= 0) continue;
    if (Math.log(1 - random.uniform()) < x ** 2 / 2 + d * (1 - v + Math.log(v))) return Math.log(d * v);
  }
}
