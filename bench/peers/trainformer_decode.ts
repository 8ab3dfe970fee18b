/** The products of generation in this library, in a process of its own: the other side of decode_torch.py. */
import "../../src/functional.ts";
import { finished } from "../measure.ts";
import { makeProduct, type Product } from "../products.ts";
import { peakBytes, serve } from "./serve.ts";

interface Setup {
  dtype: "f32" | "bf16";
  weights: { product: Product; count: number }[];
}

interface Request {
  /** Numbers of the sizes in `weights`, in order. */
  sizes: number[];
  repetitions: number;
}

await serve(async ({ dtype, weights }: Setup) => {
  const jobs = weights.map(({ product, count }) =>
    Array.from({ length: count }, () => makeProduct(product, dtype)),
  );
  return {
    version: "",
    async answer({ sizes, repetitions }: Request) {
      await finished();
      const start = performance.now();
      for (let i = 0; i < repetitions; i++)
        for (const size of sizes) for (const job of jobs[size]!) job.run();
      await finished();
      return { ms: performance.now() - start, peakBytes: peakBytes() };
    },
  };
});
