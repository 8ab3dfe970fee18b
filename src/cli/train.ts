import { constants } from "node:fs";
import { access, mkdir } from "node:fs/promises";
import path from "node:path";
import { ArgumentError, type CharTokenizer, cosineSchedule, GPT, optimizerNames } from "../index.ts";
import { info } from "../native.ts";
import { showBytes } from "../print.ts";
import { defineCommand, exitCodes } from "./command.ts";
import { readCorpus } from "./corpus.ts";
import { unlessAborted } from "./interrupts.ts";
import {
  defaultsTo,
  device,
  flag,
  integer,
  number,
  oneOf,
  required,
  text,
  texts,
  type Values,
} from "./options.ts";
import { type Plan, prepareFolder, train } from "./training.ts";
import { UsageError } from "./usage-error.ts";
import { version } from "./version.ts";
import { watcher, watchOptions } from "./watching.ts";

const schedules = ["cosine", "linear", "constant", "inverse_sqrt", "polynomial"] as const;

const options = {
  data: required(text("FILE", "UTF-8 text to learn from")),
  heldOut: text("FILE", "UTF-8 text to evaluate on (default: the last 10 % of --data)"),
  out: defaultsTo("run", text("FOLDER", "where the model is saved, in Hugging Face's GPT-2 format")),
  resume: flag("goes on from the newest checkpoint in --out, as if it had never stopped"),
  force: flag("removes the checkpoints of another run in --out"),
  layers: defaultsTo(4, integer(1, "Transformer blocks")),
  heads: defaultsTo(4, integer(1, "attention heads, a divisor of --width")),
  width: defaultsTo(128, integer(1, "width of the stream")),
  context: defaultsTo(64, integer(1, "characters that the model sees")),
  activation: defaultsTo("gelu", oneOf(["gelu", "geluTanh", "relu", "silu"], "of the MLPs")),
  dtype: defaultsTo("f32", oneOf(["f32", "bf16"], "in which the model computes; bf16: parameters stay f32")),
  device: defaultsTo("cpu", device("that computes")),
  noBias: flag("leaves out the biases of linear maps and normalizations"),
  dropout: defaultsTo(0, number(0, "part of the activations that is dropped", 1)),
  batch: defaultsTo(12, integer(1, "windows of --context characters at a time")),
  accumulate: defaultsTo(1, integer(1, "batches of an update")),
  steps: defaultsTo(2000, integer(1, "updates")),
  optim: defaultsTo("adamw", oneOf(optimizerNames, "that makes the updates")),
  lr: defaultsTo(1e-3, number(0, "learning rate after the warmup")),
  schedule: defaultsTo("cosine", oneOf(schedules, "of the learning rate after the warmup")),
  minLr: number(0, "learning rate at the end of its cosine (default: a tenth of --lr)"),
  warmup: integer(0, "steps to reach --lr (default: 100, or a tenth of --steps if that is less)"),
  weightDecay: defaultsTo(0.1, number(0, "of all but biases and normalizations")),
  gradClip: defaultsTo(1, number(0, "largest norm of the gradient; 0: any")),
  ema: number(0, "decay of an average of the weights, which is evaluated, such as 0.999", 1),
  checkpointing: flag("computes activations again in the backward pass, for less memory"),
  evalEvery: integer(1, "steps between evaluations (default: a tenth of --steps, at least 100)"),
  patience: integer(1, "ends after so many evaluations without a better one, with the best model"),
  saveEvery: integer(1, "steps between checkpoints (default: --eval-every)"),
  keep: defaultsTo(2, integer(1, "checkpoints that are kept")),
  logEvery: defaultsTo(10, integer(1, "steps between what --report-to is told")),
  reportTo: texts("NAME", "also reports to: jsonl (metrics.jsonl in --out), tensorboard (runs/ in --out)"),
  ...watchOptions,
  sample: defaultsTo(200, integer(0, "characters of generated text to show at the end")),
  seed: defaultsTo(1337, integer(0, "of initial weights, batches and sample")),
  json: flag("prints one JSON object as the last line of stdout, and all else on stderr"),
};

type O = Values<typeof options>;

const formatCount = (count: number): string => (count < 1e4 ? `${count}` : `${(count / 1e6).toFixed(2)} M`);

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    await access(folder, constants.W_OK);
  } catch (cause) {
    throw new ArgumentError(`--out ${folder}: cannot be written to: ${(cause as Error).message}`);
  }
}

function newModel(o: O, vocabSize: number): GPT {
  if (o.width % o.heads !== 0) {
    throw new UsageError(`--width must be a multiple of --heads; got ${o.width} and ${o.heads}`);
  }
  return new GPT({
    vocabSize,
    contextLength: o.context,
    numLayers: o.layers,
    numHeads: o.heads,
    hiddenSize: o.width,
    activation: o.activation,
    dtype: o.dtype,
    bias: !o.noBias,
    dropout: o.dropout,
    seed: o.seed,
  }).to(o.device);
}

/** The learning rate: nanoGPT's warmup, which begins above 0, and its cosine; or one of Hugging Face's schedules. */
function scheduleOf({ lr, schedule, minLr, warmup, steps }: O): Partial<Plan["options"]> {
  const least = minLr ?? lr / 10;
  if (minLr !== undefined && schedule !== "cosine") {
    throw new UsageError(`--min-lr needs --schedule cosine; got --schedule ${schedule}`);
  }
  if (least > lr) throw new UsageError(`--min-lr must be at most --lr; got ${least} and ${lr}`);
  if (warmup !== undefined && warmup > steps) {
    throw new UsageError(`--warmup must be at most --steps; got ${warmup} and ${steps}`);
  }
  const warmupSteps = warmup ?? Math.min(100, Math.floor(steps / 10));
  if (schedule === "cosine") {
    return { learningRate: lr, schedule: cosineSchedule({ peak: lr, floor: least, warmupSteps, steps }) };
  }
  const lrSchedulerType = schedule === "constant" ? "constant_with_warmup" : schedule;
  return { learningRate: lr, lrSchedulerType, warmupSteps };
}

/** How to train, in the words of Trainer. */
function trainingArguments(o: O): Plan["options"] {
  const evalSteps = Math.min(o.steps, o.evalEvery ?? Math.max(100, Math.ceil(o.steps / 10)));
  for (const name of o.reportTo) {
    if (name === "jsonl" || name === "tensorboard") continue;
    throw new UsageError(`--report-to must be jsonl or tensorboard; got ${JSON.stringify(name)}`);
  }
  return {
    outputDir: o.out,
    maxSteps: o.steps,
    contextLength: o.context,
    perDeviceTrainBatchSize: o.batch,
    perDeviceEvalBatchSize: o.batch,
    gradientAccumulationSteps: o.accumulate,
    optim: o.optim,
    adamBeta2: 0.99,
    ...scheduleOf(o),
    weightDecay: o.weightDecay,
    maxGradNorm: o.gradClip,
    ...(o.ema !== undefined && { emaDecay: o.ema }),
    gradientCheckpointing: o.checkpointing,
    evalStrategy: "steps",
    evalSteps,
    saveStrategy: "steps",
    saveSteps: o.patience === undefined ? (o.saveEvery ?? evalSteps) : evalSteps,
    saveTotalLimit: o.keep,
    ...(o.patience !== undefined && { loadBestModelAtEnd: true, metricForBestModel: "loss" }),
    loggingSteps: o.logEvery,
    reportTo: o.reportTo,
    seed: o.seed,
  };
}

/** Writes on from a newline, or from the first character of a vocabulary without one. */
async function writeSample(
  model: GPT,
  tokenizer: CharTokenizer,
  options: { maxNewTokens: number; seed: number; signal: AbortSignal },
  write: (piece: string) => void,
): Promise<void> {
  if (options.maxNewTokens === 0) return;
  const prompt = tokenizer.vocabulary.includes("\n") ? "\n" : tokenizer.vocabulary[0]!;
  const pieces = model.stream(prompt, { tokenizer, doSample: true, temperature: 0.8, topK: 40, ...options });
  await unlessAborted(options.signal, async () => {
    for await (const piece of pieces) write(piece);
  });
  write("\n");
}

export const command = defineCommand({
  usage: "--data FILE [options]",
  options,
  async run(o, signal) {
    const start_ms = performance.now();
    const out = o.json ? process.stderr : process.stdout;
    const say = (line: string) => out.write(`${line}\n`);
    const corpus = await readCorpus(o.data, o.heldOut, o.context);
    const plan = trainingArguments(o);
    const { tokenizer, beginning } = corpus;
    const watchers = watcher({ ...o, options: o, tokenizer, beginning, say });
    const model = newModel(o, corpus.tokenizer.size);
    await makeFolder(o.out);
    await prepareFolder(o.out, o);
    const { isa, threads } = info();
    const parameters = model.parameterCount;
    say(
      [
        `trainformer ${version}`,
        o.device === "cpu" ? `cpu ${isa}` : o.device,
        ...(o.dtype === "bf16" ? ["bf16"] : []),
        `${threads} thread${threads === 1 ? "" : "s"}`,
        `${formatCount(parameters)} parameters`,
        `${showBytes(corpus.bytes)} text, ${corpus.tokenizer.size} characters`,
      ].join(" · "),
    );

    const { train: trainData, heldOutSample: evalData } = corpus;
    const data = { tokenizer, trainData, evalData };
    const outcome = await train(
      { model, ...data, options: plan, patience: o.patience, resume: o.resume, watchers },
      signal,
    );
    const heldOutLoss = await unlessAborted(signal, () =>
      model.evaluate(corpus.heldOut, { batchSize: o.batch, signal }),
    );
    const peakRssBytes = process.resourceUsage().maxRSS * 1024;
    if (heldOutLoss !== undefined) {
      const bits = (heldOutLoss / Math.LN2).toFixed(3);
      const memory = `peak memory ${showBytes(peakRssBytes)}`;
      say(`  held-out loss ${heldOutLoss.toFixed(4)} (${bits} bits per character), ${memory}`);
    }
    const ended = signal.aborted ? `interrupted after step ${outcome.steps}: ` : "";
    if (o.watch) say(`  the page of the run: ${path.join(o.out, "train.html")}`);
    say(`  ${ended}saved in ${o.out}: trainformer generate --model ${o.out} --prompt "..."`);
    const { sample: maxNewTokens, seed } = o;
    await writeSample(model, corpus.tokenizer, { maxNewTokens, seed, signal }, (piece) => out.write(piece));

    if (o.json) {
      const { firstLoss, lastLoss, steps, tokensPerSecond } = outcome;
      const result = {
        firstLoss,
        lastLoss,
        heldOutLoss: heldOutLoss ?? null,
        steps,
        tokensPerSecond,
        peakRssBytes,
        parameters,
        device: o.device,
        isa,
        threads,
        seconds: (performance.now() - start_ms) / 1000,
        seed,
        out: o.out,
        interrupted: signal.aborted,
      };
      console.log(JSON.stringify(result));
    }
    return signal.aborted ? exitCodes.interrupted : exitCodes.done;
  },
});
