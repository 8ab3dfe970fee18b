/** What a call costs beside the work of its kernel. */
import { noGrad } from "../src/autograd.ts";
import { scope } from "../src/memory.ts";
import { callKernel, kernelNamed } from "../src/native.ts";
import { full } from "../src/ops/creation.ts";
import { add } from "../src/ops/elementwise.ts";
import { timesOf } from "./measure.ts";

export interface CallCosts {
  /** Microseconds of an op on one element: shapes, memory, border, queue. */
  readonly opUs: number;
  /** Of these, from JavaScript to the kernel and back. */
  readonly nativeUs: number;
}

export async function measureCallCosts(budgetMs: number): Promise<CallCosts> {
  const x = full([1], 1);
  const y = full([1], 1);
  const kernel = kernelNamed("fill32");
  const view = { handle: y.storage.handle, offset: 0, shape: [1], strides: [1] };
  const [op, native] = await timesOf(
    [
      { run: () => noGrad(() => scope(() => add(x, x))) },
      { run: () => callKernel(kernel, "f32", [view, 1]) },
    ],
    budgetMs,
  );
  return { opUs: 1000 * op!, nativeUs: 1000 * native! };
}
