import { ArgumentError, CheckpointError, checkNumber } from "../errors.ts";
import type { Tensor } from "../tensor.ts";
import { type FlatOptimizer, stepTogether } from "./flat-optimizer.ts";
import type { Optimizer, OptimizerState, StepOptions } from "./optimizer.ts";

// biome-ignore lint/suspicious/noExplicitAny: whatever its options are
type Member = FlatOptimizer<any>;

/**
 * Several optimizers of different parameters as one: gradients have a common norm, and a learning rate is that of the first
 * one, to which the others keep their ratio.
 */
export class OptimizerList implements Optimizer {
  readonly members: readonly Member[];

  constructor(members: readonly Member[]) {
    const all = members.flatMap(({ parameters }) => parameters);
    if (members.length === 0) throw new ArgumentError("OptimizerList: members must not be empty");
    if (new Set(all).size !== all.length)
      throw new ArgumentError("OptimizerList: a parameter must belong to one member only");
    this.members = [...members];
  }

  get learningRate(): number {
    return this.members[0]!.learningRate;
  }
  set learningRate(rate: number) {
    for (const [member, own] of this.rates(rate)) member.learningRate = own;
  }
  get stepCount(): number {
    return this.members[0]!.stepCount;
  }
  get parameters(): readonly Tensor[] {
    return this.members.flatMap(({ parameters }) => parameters);
  }

  private rates(rate: number): [Member, number][] {
    const base = this.learningRate;
    return this.members.map((member) => [
      member,
      member.learningRate === base ? rate : rate * (member.learningRate / base),
    ]);
  }

  step(options: StepOptions = {}): { gradNorm: Tensor } {
    const { learningRate } = options;
    if (learningRate !== undefined) checkNumber("OptimizerList.step: learningRate", learningRate, 0);
    return stepTogether("OptimizerList", this.rates(learningRate ?? this.learningRate), options);
  }

  zeroGrad(): void {
    for (const member of this.members) member.zeroGrad();
  }

  stateDict(): OptimizerState {
    const states = this.members.map((member) => member.stateDict());
    return {
      tensors: new Map(
        states.flatMap(({ tensors }, i) => [...tensors].map(([name, t]) => [`${i}.${name}`, t] as const)),
      ),
      values: { optimizer: "OptimizerList", members: states.map(({ values }) => values) },
    };
  }

  loadStateDict({ tensors, values }: Parameters<Optimizer["loadStateDict"]>[0]): void {
    const states = values.members;
    if (
      values.optimizer !== "OptimizerList" ||
      !Array.isArray(states) ||
      states.length !== this.members.length
    ) {
      throw new CheckpointError(
        `OptimizerList.loadStateDict: state must be of ${this.members.length} optimizers; got that of ${String(values.optimizer)}`,
      );
    }
    const known = this.members.map((_, i) => `${i}.`);
    for (const name of tensors.keys()) {
      if (!known.some((prefix) => name.startsWith(prefix)))
        throw new CheckpointError(`OptimizerList.loadStateDict: unexpected tensor ${name}`);
    }
    for (const [i, member] of this.members.entries()) {
      const own = [...tensors].filter(([name]) => name.startsWith(known[i]!));
      member.loadStateDict({
        tensors: new Map(own.map(([name, t]) => [name.slice(known[i]!.length), t])),
        values: states[i],
      });
    }
  }
}
