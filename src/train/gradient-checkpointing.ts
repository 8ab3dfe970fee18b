import { ArgumentError } from "../errors.ts";
import { checkpoint } from "../nn/checkpoint.ts";
import type { AnyModule } from "../nn/module.ts";
import { type BlockInput, TransformerBlock } from "../nn/transformer.ts";
import type { Tensor } from "../tensor.ts";

function* blocksIn(module: AnyModule): Generator<TransformerBlock> {
  for (const [, child] of module.children()) {
    if (child instanceof TransformerBlock) yield child;
    else yield* blocksIn(child);
  }
}

/** A block that keeps nothing but its inputs for the backward pass; what it asks for beside its result, it computes once. */
function recomputing(block: TransformerBlock): (x: Tensor, input?: BlockInput) => Tensor {
  const forward = block.forward.bind(block);
  return (x, input = {}) => {
    const { memory, bias, weights, crossWeights, cache } = input;
    if (!block.training || weights || crossWeights || cache) return forward(x, input);
    const names = (["memory", "bias"] as const).filter((name) => input[name] !== undefined);
    const body = (from: Tensor, ...others: Tensor[]) =>
      forward(from, { ...input, ...Object.fromEntries(names.map((name, i) => [name, others[i]])) });
    return checkpoint(body, x, ...[memory, bias].filter((t) => t !== undefined));
  };
}

/**
 * Makes the TransformerBlocks of a model compute their activations again in the backward pass instead of keeping them:
 * memory for one more forward pass, the same losses and gradients. Without `on`, they keep them again.
 *
 * @throws ERR_ARGUMENT if the model has no TransformerBlock
 * @see Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"
 */
export function setGradientCheckpointing(model: AnyModule, on: boolean): void {
  let count = 0;
  for (const block of blocksIn(model)) {
    count++;
    delete (block as Partial<TransformerBlock>).forward; // its own, in front of that of the class
    if (on) Object.defineProperty(block, "forward", { value: recomputing(block), configurable: true });
  }
  if (on && count === 0) {
    throw new ArgumentError(
      `Trainer: gradientCheckpointing needs TransformerBlocks in the model; got ${model.constructor.name}, which has none. Call checkpoint() in its forward`,
    );
  }
}
