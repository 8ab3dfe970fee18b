import type { Tensor } from "../tensor.ts";

export interface StepOptions {
  /** For this step, in place of the optimizer's; groups with a rate of their own keep their ratio to it. */
  learningRate?: number;
  /** Scales all gradients so that their common norm is at most this. Default: no clipping. */
  maxGradNorm?: number;
  /** Cuts every element of a gradient to ±this. Not together with `maxGradNorm`. Default: no clipping. */
  maxGradValue?: number;
}

/** All that an exact resume needs beside the parameters themselves. */
export interface OptimizerState {
  /** By PyTorch's names: `<number of the parameter>.exp_avg`. They share the optimizer's memory. */
  tensors: Map<string, Tensor>;
  /** What JSON can hold. */
  values: Record<string, unknown>;
}

/** Changes parameters by their gradients. */
export interface Optimizer {
  /** The rate of `step()`; groups with a rate of their own keep their ratio to it. */
  learningRate: number;
  /** Steps taken so far. */
  readonly stepCount: number;
  /** What is trained, each once, in the order in which it was given. */
  readonly parameters: readonly Tensor[];
  /**
   * Updates every parameter that has a gradient, and uses the gradients up.
   *
   * @returns the norm of all gradients before clipping, `[]`
   */
  step(options?: StepOptions): { gradNorm: Tensor };
  /** Forgets all gradients. `step` does so itself. */
  zeroGrad(): void;
  stateDict(): OptimizerState;
  /** @throws ERR_CHECKPOINT naming what does not fit */
  loadStateDict(state: { tensors: ReadonlyMap<string, Tensor>; values: Record<string, unknown> }): void;
}

/**
 * Parameters with options of their own, in the place of the optimizer's, as PyTorch has them. Those without requiresGrad
 * are left out.
 */
export type ParameterGroup<O = { learningRate?: number; weightDecay?: number }> = Readonly<Partial<O>> & {
  readonly parameters: Iterable<Tensor>;
};
