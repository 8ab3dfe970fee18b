/** The products of a vector that generating one token with GPT-2 124M takes: M = 1, and the weights are read once. */
import type { Product } from "./products.ts";

const layers = 12;
const width = 768;
const vocabulary = 50257;

const linear = (N: number, K: number): Product => ({ layout: "NT", M: 1, N, K });

/** A weight [N, K] for each product, and how many of that size there are. */
export const decodeProducts: readonly { product: Product; count: number }[] = [
  { product: linear(3 * width, width), count: layers },
  { product: linear(width, width), count: layers },
  { product: linear(4 * width, width), count: layers },
  { product: linear(width, 4 * width), count: layers },
  { product: linear(vocabulary, width), count: 1 },
];

export const nameOf = ({ N, K }: Product): string => `${N}×${K}`;
