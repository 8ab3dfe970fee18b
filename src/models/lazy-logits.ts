import { isRecording, withRecording } from "../autograd.ts";
import { inScopeOf } from "../memory.ts";
import { linear } from "../ops/products.ts";
import type { Tensor } from "../tensor.ts";

/** `output` with the logits of `x`: made when first read, but in the scope of `x`, and recorded if this call is. */
export function withLazyLogits<O extends { loss: Tensor }>(
  output: O,
  x: Tensor,
  weight: Tensor,
  bias?: Tensor,
): O & { readonly logits: Tensor } {
  const recording = isRecording([x, weight]);
  let logits: Tensor | undefined;
  const get = () =>
    (logits ??= withRecording(recording, () => inScopeOf(x.storage, () => linear(x, weight, bias))));
  return Object.defineProperty(output, "logits", { get }) as O & { readonly logits: Tensor };
}
