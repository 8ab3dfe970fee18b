/** Matrix products of this library, in a process of its own: the other side of gemm.cc. */
import "../../src/functional.ts";
import { finished } from "../measure.ts";
import { makeProduct, type Product, type ProductJob } from "../products.ts";
import { peakBytes, serve } from "./serve.ts";

interface Request extends Product {
  dtype: "f32" | "bf16";
  repetitions: number;
}

await serve(async () => {
  /** All variants of one product stay prepared, because they take turns. */
  const prepared = new Map<string, ProductJob>();
  let current = "";
  return {
    version: "",
    async answer({ layout, M, N, K, dtype, repetitions }: Request) {
      const size = `${layout} ${M} ${N} ${K}`;
      if (size !== current) {
        for (const job of prepared.values()) job.dispose();
        prepared.clear();
        current = size;
      }
      const job = prepared.get(dtype) ?? makeProduct({ layout, M, N, K }, dtype);
      prepared.set(dtype, job);
      await finished();
      const start = performance.now();
      for (let i = 0; i < repetitions; i++) job.run();
      await finished();
      return { ms: performance.now() - start, peakBytes: peakBytes() };
    },
  };
});
