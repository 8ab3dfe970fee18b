import { scope } from "../../memory.ts";
import { kernelNamed } from "../../native.ts";
import { runKernel } from "../../op.ts";
import { full } from "../../ops/creation.ts";
import { Tensor } from "../../tensor.ts";

const peakFma = kernelNamed("peak_fma");
/** Elements, each the work of one thread, and the multiply-adds for each: a multiple of what any instruction set does at once. */
const pieces = 256;
const multiplyAdds = 14 * 16 * 2048;
const budget_ms = 200;

/**
 * Floating-point operations in f32 that the processor does in a second at best, for `peakFlops` of ProgressBar: measured
 * for 0.2 s with multiply-adds in registers, on the threads and the instruction set that kernels use now. What else runs
 * meanwhile makes it smaller.
 *
 * It is no peak of products in bf16 where the processor has instructions for them, nor of a GPU, whose products run on
 * tensor cores: there the number is in the datasheet.
 */
export async function measurePeakFlops(): Promise<number> {
  const [x, y] = scope(
    () => [full([2], 0.5, { device: "cpu" }), Tensor.empty([pieces], "f32", "cpu")] as const,
  );
  const end_ms = performance.now() + budget_ms;
  let best_ms = Infinity;
  do {
    const start_ms = performance.now();
    runKernel(peakFma, "f32", { x, y, count: multiplyAdds });
    await y.data();
    best_ms = Math.min(best_ms, performance.now() - start_ms);
  } while (performance.now() < end_ms);
  x.dispose();
  y.dispose();
  return (2 * pieces * multiplyAdds * 1000) / best_ms;
}
