import type { TrainerControl, TrainerState } from "./callback.ts";
import type { StepPlan } from "./step-plan.ts";
import type { FullTrainingArguments } from "./training-arguments.ts";

export const newControl = (): TrainerControl => ({
  shouldTrainingStop: false,
  shouldEpochStop: false,
  shouldEvaluate: false,
  shouldSave: false,
  shouldLog: false,
});

/** Sets what is due after an update, as Hugging Face's `DefaultFlowCallback` does. */
export function afterStep(
  { globalStep }: Readonly<TrainerState>,
  control: TrainerControl,
  plan: StepPlan,
  all: FullTrainingArguments,
): void {
  const isDue = (strategy: string, steps: number) => strategy === "steps" && globalStep % steps === 0;
  if (globalStep === 1 && all.loggingFirstStep) control.shouldLog = true;
  if (isDue(all.loggingStrategy, plan.loggingSteps)) control.shouldLog = true;
  if (isDue(all.evalStrategy, plan.evalSteps) && all.evalDelay <= globalStep) control.shouldEvaluate = true;
  if (isDue(all.saveStrategy, plan.saveSteps)) control.shouldSave = true;
  if (globalStep < plan.maxSteps) return;
  control.shouldTrainingStop = true;
  if (all.evalStrategy === "steps") control.shouldEvaluate = true;
  if (all.saveStrategy === "steps") control.shouldSave = true;
}

/** The same at the end of a pass over the data. */
export function afterEpoch(
  { epoch }: Readonly<TrainerState>,
  control: TrainerControl,
  all: FullTrainingArguments,
): void {
  if (all.loggingStrategy === "epoch") control.shouldLog = true;
  if (all.evalStrategy === "epoch" && all.evalDelay <= epoch) control.shouldEvaluate = true;
  if (all.saveStrategy === "epoch") control.shouldSave = true;
}
