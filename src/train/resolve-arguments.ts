import { ArgumentError, checkInteger, checkNumber, show } from "../errors.ts";
import type { OptimizerName } from "../optim/make-optimizer.ts";
import type { FullTrainingArguments, TrainingArguments } from "./training-arguments.ts";

type Check = (name: string, value: unknown) => unknown;

const wrong = (name: string, expected: string, value: unknown): never => {
  throw new ArgumentError(`${name} must be ${expected}; got ${show(value)}`);
};
const number =
  (min: number, max = Infinity): Check =>
  (name, value) =>
    checkNumber(name, value, min, max);
const integer =
  (min: number): Check =>
  (name, value) =>
    checkInteger(name, value, min);
const boolean: Check = (name, value) =>
  typeof value === "boolean" ? value : wrong(name, "true or false", value);
const text: Check = (name, value) =>
  typeof value === "string" && value !== "" ? value : wrong(name, "a string", value);
const oneOf =
  (...choices: unknown[]): Check =>
  (name, value) =>
    choices.includes(value) ? value : wrong(name, `one of ${choices.join(", ")}`, value);
/** A count of updates or, below 1, a share of all. */
const interval: Check = (name, value) => {
  checkNumber(name, value, 0);
  const steps = value as number;
  return steps > 0 && (steps < 1 || Number.isInteger(steps))
    ? steps
    : wrong(name, "an integer of at least 1 or a share between 0 and 1", value);
};
const record: Check = (name, value) =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? value
    : wrong(name, "an object", value);

const optimizerNames: Readonly<Record<string, OptimizerName>> = {
  ...{ adamw: "adamw", adam: "adam", sgd: "sgd", adafactor: "adafactor", lion: "lion", muon: "muon" },
  ...{ adamw_torch: "adamw", adamw_torch_fused: "adamw", lion_32bit: "lion" },
};
const optimizer: Check = (name, value) =>
  Object.hasOwn(optimizerNames, String(value))
    ? optimizerNames[value as string]
    : wrong(name, `one of ${Object.keys(optimizerNames).join(", ")}`, value);

/** `{ … }`, or "name=value,name=value" with numbers, booleans and words. */
const optimizerOptions: Check = (name, value) => {
  if (typeof value !== "string") return record(name, value);
  const pairs = value.split(",").map((pair) => {
    const [key, word] = pair.split("=").map((part) => part.trim());
    if (!key || word === undefined || word === "")
      return wrong(name, 'an object or "name=value,name=value"', value);
    const lower = word.toLowerCase();
    const parsed = lower === "true" || lower === "false" ? lower === "true" : Number(word);
    const camel = key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
    return [camel, Number.isNaN(parsed) ? word : parsed] as const;
  });
  return Object.fromEntries(pairs);
};
const reporters: Check = (name, value) => {
  const names = typeof value === "string" ? [value] : value;
  if (!Array.isArray(names) || names.some((item) => typeof item !== "string"))
    return wrong(name, "a name or an array of names", value);
  return names.filter((item) => item !== "none");
};

const checks: Readonly<Record<keyof FullTrainingArguments, Check>> = {
  outputDir: text,
  perDeviceTrainBatchSize: integer(1),
  perDeviceEvalBatchSize: integer(1),
  numTrainEpochs: number(0),
  maxSteps: integer(-1),
  gradientAccumulationSteps: integer(1),
  learningRate: number(0),
  lrSchedulerType: text,
  lrSchedulerKwargs: record,
  warmupSteps: number(0),
  optim: optimizer,
  optimArgs: optimizerOptions,
  weightDecay: number(0),
  adamBeta1: number(0, 1),
  adamBeta2: number(0, 1),
  adamEpsilon: number(0),
  maxGradNorm: number(0),
  maxGradValue: number(0),
  labelSmoothingFactor: number(0, 1),
  emaDecay: number(0, 1),
  nonFinite: oneOf("stop", "skip"),
  bf16: oneOf(true, false, "auto"),
  gradientCheckpointing: boolean,
  loggingStrategy: oneOf("no", "steps", "epoch"),
  loggingSteps: interval,
  loggingFirstStep: boolean,
  evalStrategy: oneOf("no", "steps", "epoch"),
  evalSteps: interval,
  evalDelay: number(0),
  evalOnStart: boolean,
  saveStrategy: oneOf("no", "steps", "epoch", "best"),
  saveSteps: interval,
  saveTotalLimit: integer(-1),
  saveOnlyModel: boolean,
  loadBestModelAtEnd: boolean,
  metricForBestModel: text,
  greaterIsBetter: boolean,
  seed: integer(0),
  dataSeed: integer(0),
  trainSamplingStrategy: oneOf("random", "sequential", "group_by_length"),
  lengthColumnName: text,
  maxTokens: integer(1),
  contextLength: integer(1),
  dataloaderDropLast: boolean,
  ignoreDataSkip: boolean,
  predictWithGenerate: boolean,
  generationMaxLength: integer(1),
  generationNumBeams: integer(1),
  reportTo: reporters,
};

const defaults: Omit<FullTrainingArguments, "evalStrategy" | "evalSteps" | "dataSeed"> = {
  outputDir: "trainer_output",
  perDeviceTrainBatchSize: 8,
  perDeviceEvalBatchSize: 8,
  numTrainEpochs: 3,
  maxSteps: -1,
  gradientAccumulationSteps: 1,
  learningRate: 5e-5,
  lrSchedulerType: "linear",
  lrSchedulerKwargs: {},
  warmupSteps: 0,
  optim: "adamw",
  optimArgs: {},
  weightDecay: 0,
  adamBeta1: 0.9,
  adamBeta2: 0.999,
  adamEpsilon: 1e-8,
  maxGradNorm: 1,
  maxGradValue: 0,
  labelSmoothingFactor: 0,
  emaDecay: undefined,
  nonFinite: "stop",
  bf16: false,
  gradientCheckpointing: false,
  loggingStrategy: "steps",
  loggingSteps: 500,
  loggingFirstStep: false,
  evalDelay: 0,
  evalOnStart: false,
  saveStrategy: "steps",
  saveSteps: 500,
  saveTotalLimit: undefined,
  saveOnlyModel: false,
  loadBestModelAtEnd: false,
  metricForBestModel: undefined,
  greaterIsBetter: undefined,
  seed: 42,
  trainSamplingStrategy: "random",
  lengthColumnName: "length",
  maxTokens: undefined,
  contextLength: undefined,
  dataloaderDropLast: false,
  ignoreDataSkip: false,
  predictWithGenerate: false,
  generationMaxLength: undefined,
  generationNumBeams: undefined,
  reportTo: [],
};

/** Hugging Face's options that mean nothing here, and what to do instead. */
const elsewhere: Readonly<Record<string, string>> = {
  fp16: "use bf16: it needs no scaling of the loss",
  tf32: 'call setFloat32MatmulPrecision("high")',
  deviceMap: 'call model.to("cuda")',
  useCpu: 'call model.to("cpu")',
  groupByLength: 'use trainSamplingStrategy: "group_by_length"',
  evaluationStrategy: "use evalStrategy",
};

/**
 * The arguments with nothing left to defaults.
 *
 * @throws ERR_ARGUMENT on an option that is unknown, out of range, or does not go with another
 */
export function resolveArguments(given: TrainingArguments): FullTrainingArguments {
  const { warmupRatio, ...options } = given;
  const chosen: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const check = Object.hasOwn(checks, name) ? checks[name as keyof FullTrainingArguments] : undefined;
    if (check === undefined) {
      const advice = Object.hasOwn(elsewhere, name) ? `; ${elsewhere[name]}` : "";
      throw new ArgumentError(`Trainer: there is no option ${name}${advice}`);
    }
    chosen[name] = check(`Trainer: ${name}`, value);
  }
  if (warmupRatio !== undefined) {
    checkNumber("Trainer: warmupRatio", warmupRatio, 0, 1 - Number.EPSILON);
    if (chosen.warmupSteps !== undefined) {
      throw new ArgumentError(
        `Trainer: give either warmupSteps or warmupRatio; got ${chosen.warmupSteps} and ${warmupRatio}`,
      );
    }
    chosen.warmupSteps = warmupRatio;
  }
  const loggingSteps = (chosen.loggingSteps as number | undefined) ?? defaults.loggingSteps;
  const all = {
    ...defaults,
    evalStrategy: chosen.evalSteps === undefined ? "no" : "steps",
    evalSteps: loggingSteps,
    maxGradNorm: chosen.maxGradValue ? 0 : defaults.maxGradNorm,
    dataSeed: (chosen.seed as number | undefined) ?? defaults.seed,
    ...chosen,
  } as FullTrainingArguments;
  if (all.loadBestModelAtEnd || all.saveStrategy === "best") all.metricForBestModel ??= "loss";
  if (all.saveTotalLimit !== undefined && all.saveTotalLimit <= 0) all.saveTotalLimit = undefined;
  if (all.metricForBestModel !== undefined) {
    all.greaterIsBetter ??= !all.metricForBestModel.toLowerCase().endsWith("loss");
  }
  checkMix(all);
  return all;
}

function checkMix(all: FullTrainingArguments): void {
  const refuse = (problem: string): never => {
    throw new ArgumentError(`Trainer: ${problem}`);
  };
  const { evalStrategy, evalSteps, saveStrategy, saveSteps, maxTokens, maxSteps } = all;
  if (all.maxGradNorm > 0 && all.maxGradValue > 0) {
    refuse(`give either maxGradNorm or maxGradValue; got ${all.maxGradNorm} and ${all.maxGradValue}`);
  }
  if (maxSteps === 0) refuse("maxSteps must be at least 1, or -1 for numTrainEpochs; got 0");
  if (maxSteps < 0 && all.numTrainEpochs <= 0) {
    refuse(`numTrainEpochs must be above 0; got ${all.numTrainEpochs}`);
  }
  if (maxTokens !== undefined && all.trainSamplingStrategy !== "group_by_length") {
    refuse(`maxTokens goes with trainSamplingStrategy "group_by_length"; got "${all.trainSamplingStrategy}"`);
  }
  if (maxTokens !== undefined && all.dataloaderDropLast) {
    refuse("dataloaderDropLast goes with a batch size; got maxTokens");
  }
  if (saveStrategy === "best" && evalStrategy === "no")
    refuse('saveStrategy "best" needs an evalStrategy other than "no"');
  if (all.lrSchedulerType === "reduce_lr_on_plateau" && evalStrategy === "no") {
    refuse('lrSchedulerType "reduce_lr_on_plateau" needs an evalStrategy other than "no"');
  }
  if (!all.loadBestModelAtEnd || saveStrategy === "best") return;
  if (saveStrategy !== evalStrategy) {
    refuse(
      `loadBestModelAtEnd needs the same evalStrategy and saveStrategy; got "${evalStrategy}" and "${saveStrategy}"`,
    );
  }
  if (evalStrategy === "no") refuse('loadBestModelAtEnd needs an evalStrategy other than "no"');
  if (evalStrategy !== "steps") return;
  const areOfOneKind = evalSteps < 1 === saveSteps < 1;
  const ratio = saveSteps / evalSteps;
  if (!areOfOneKind || Math.abs(ratio - Math.round(ratio)) > 1e-9 || ratio < 1 - 1e-9) {
    refuse(
      `loadBestModelAtEnd needs saveSteps to be a multiple of evalSteps; got ${saveSteps} and ${evalSteps}`,
    );
  }
}
