import { kernelNamed } from "../native.ts";
import { runKernel } from "../op.ts";
import { type CurrentPacks, currentPacks, markCurrent } from "../ops/packed-weight.ts";
import type { Tensor } from "../tensor.ts";
import { Adam, type AdamOptions, type CompleteAdam } from "./adam.ts";
import type { Block, ClippingByNorm } from "./flat-optimizer.ts";

const adamw = kernelNamed("adamw");
const adamwPacked = kernelNamed("adamw_packed");

export interface AdamWOptions extends Omit<AdamOptions, "weightDecay"> {
  /** Applied to parameters of at least two dimensions; gains and biases are not decayed, but in groups. Default 0.01. */
  weightDecay?: number;
}

/**
 * Adam with decoupled weight decay.
 *
 * The parameters move into flat arrays (they stay the same tensors), and so do their gradients: a step is one kernel
 * over all of them. It uses the gradients up: after it, `grad` is undefined and the next backward pass starts anew.
 *
 * @see Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization"
 */
export class AdamW extends Adam {
  protected override typeName(): string {
    return "AdamW";
  }
  protected override get isDecoupled(): boolean {
    return true;
  }

  /** The parameters, their means, and where products read them packed, the copies. */
  protected override update(
    block: Block<CompleteAdam>,
    learningRate: number,
    clipping: ClippingByNorm,
  ): void {
    const { options, flat } = block;
    if (options.amsgrad) return super.update(block, learningRate, clipping);
    const constants = { ...clipping, learningRate, weightDecay: options.weightDecay };
    // Looked for before anything is written: the weights share one memory, and so its version.
    const packed: [Tensor, number, CurrentPacks][] = [];
    const others: [Tensor, number][] = [];
    for (const [p, i] of flat.withGradient()) {
      const packs = currentPacks(p);
      if (packs === undefined) others.push([p, i]);
      else packed.push([p, i, packs]);
    }
    for (const [p, i, { real, forward, backward }] of packed) {
      const values = this.arguments(block, { start: p.offset, shape: p.shape, steps: flat.steps[i]! });
      runKernel(adamwPacked, real, { ...values, ...constants, forward, backward });
    }
    for (const { start, length, steps } of flat.stretches(others)) {
      const values = this.arguments(block, { start, shape: [length], steps });
      runKernel(adamw, "f32", { ...values, ...constants });
    }
    for (const [p, , packs] of packed) markCurrent(p, packs);
  }
}
