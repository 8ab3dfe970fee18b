import { ArgumentError } from "../errors.ts";
import { camelCase } from "../letter-case.ts";
import type { AnyModule } from "../nn/module.ts";
import { makeOptimizer as optimizerNamed } from "../optim/make-optimizer.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import { ReduceLROnPlateau } from "../optim/reduce-lr-on-plateau.ts";
import type { Schedule } from "../optim/schedule.ts";
import { getScheduler, type SchedulerName, schedulerNames } from "../optim/scheduler.ts";
import type { StepPlan } from "./step-plan.ts";
import type { FullTrainingArguments } from "./training-arguments.ts";

/** The learning rate of each update, and what a resumed run needs to go on with it. */
export interface LearningRates {
  /** Of the update `step`, which counts from 0. */
  at(step: number): number;
  /** Is told of the metric of an evaluation. */
  evaluated(metric: number): void;
  /** As JSON. */
  stateDict(): unknown;
  loadStateDict(state: unknown): void;
}

/**
 * The optimizer that the options name. Weight decay is left out for biases and normalizations, as in Hugging Face's
 * Trainer.
 */
export function makeOptimizer(model: AnyModule, all: FullTrainingArguments): Optimizer {
  const { learningRate, weightDecay, adamBeta1, adamBeta2, adamEpsilon: eps, optim, optimArgs } = all;
  const moments = { betas: [adamBeta1, adamBeta2], eps };
  const own = { adamw: moments, adam: moments, muon: { adamw: moments }, sgd: {}, adafactor: {}, lion: {} }[
    optim
  ];
  return optimizerNamed(optim, model, { learningRate, weightDecay, ...own, ...optimArgs });
}

const plateau = "reduce_lr_on_plateau";

/** Learning rates that follow from the step alone. */
const stateless = (at: Schedule): LearningRates => ({
  at,
  evaluated() {},
  stateDict: () => null,
  loadStateDict() {},
});

/**
 * @param own in place of the schedule that the options name
 * @throws ERR_ARGUMENT on an unknown schedule, or options that it does not take
 */
export function makeLearningRates(
  all: FullTrainingArguments,
  plan: StepPlan,
  optimizer: Optimizer,
  model: AnyModule,
  own: Schedule | undefined,
): LearningRates {
  if (own !== undefined) return stateless(own);
  const { learningRate, lrSchedulerType: name } = all;
  const options = Object.fromEntries(
    Object.entries(all.lrSchedulerKwargs).map(([key, value]) => [camelCase(key), value]),
  );
  if (name === plateau) {
    const mode = all.greaterIsBetter ? "max" : "min";
    const scheduler = new ReduceLROnPlateau(optimizer, { mode, ...options });
    return {
      at: () => optimizer.learningRate,
      evaluated: (metric) => void scheduler.step(metric),
      stateDict: () => scheduler.stateDict(),
      loadStateDict: (state) => scheduler.loadStateDict(state as Record<string, unknown>),
    };
  }
  if (!schedulerNames.includes(name as SchedulerName)) {
    throw new ArgumentError(
      `Trainer: lrSchedulerType must be one of ${[...schedulerNames, plateau].join(", ")}; got ${name}`,
    );
  }
  const { hiddenSize } = (model as { config?: { hiddenSize?: number } }).config ?? {};
  const schedule = getScheduler(name as SchedulerName, {
    learningRate,
    numTrainingSteps: plan.maxSteps,
    ...(plan.warmupSteps > 0 && { numWarmupSteps: plan.warmupSteps }),
    ...(name === "noam" && hiddenSize !== undefined && { hiddenSize }),
    ...options,
  });
  return stateless(schedule);
}
