import { constants } from "node:fs";
import { access, mkdir } from "node:fs/promises";
import { ArgumentError, type CharTokenizer, cosineSchedule, GPT } from "../index.ts";
import { info } from "../native.ts";
import {
  defaultsTo,
  defineCommand,
  flag,
  integer,
  interrupted,
  number,
  oneOf,
  required,
  text,
  type Values,
} from "./command.ts";
import { readCorpus } from "./corpus.ts";
import { train, unlessAborted } from "./training.ts";
import { version } from "./version.ts";

const options = {
  data: required(text("FILE", "UTF-8 text to learn from")),
  heldOut: text("FILE", "UTF-8 text to evaluate on (default: the last 10 % of --data)"),
  out: defaultsTo("run", text("FOLDER", "where the model is saved, in Hugging Face's GPT-2 format")),
  layers: defaultsTo(4, integer(1, "Transformer blocks")),
  heads: defaultsTo(4, integer(1, "attention heads, a divisor of --width")),
  width: defaultsTo(128, integer(1, "width of the stream")),
  context: defaultsTo(64, integer(1, "characters that the model sees")),
  activation: defaultsTo("gelu", oneOf(["gelu", "geluTanh", "relu", "silu"], "of the MLPs")),
  dtype: defaultsTo("f32", oneOf(["f32", "bf16"], "in which the model computes; bf16: parameters stay f32")),
  device: defaultsTo("cpu", oneOf(["cpu", "cuda"], "that computes")),
  noBias: flag("leaves out the biases of linear maps and normalizations"),
  dropout: defaultsTo(0, number(0, "part of the activations that is dropped", 1)),
  batch: defaultsTo(12, integer(1, "windows of --context characters a step")),
  steps: defaultsTo(2000, integer(1, "updates")),
  lr: defaultsTo(1e-3, number(0, "learning rate after the warmup")),
  minLr: number(0, "learning rate at the end of its cosine (default: a tenth of --lr)"),
  warmup: integer(0, "steps to reach --lr (default: 100, or a tenth of --steps if that is less)"),
  weightDecay: defaultsTo(0.1, number(0, "of AdamW, with betas 0.9 and 0.99")),
  gradClip: defaultsTo(1, number(0, "largest norm of the gradient; 0: any")),
  evalEvery: integer(1, "steps between evaluations (default: a tenth of --steps, at least 100)"),
  saveEvery: integer(1, "steps between checkpoints (default: --eval-every)"),
  sample: defaultsTo(200, integer(0, "characters of generated text to show at the end")),
  seed: defaultsTo(1337, integer(0, "of initial weights, batches and sample")),
  json: flag("prints one JSON object as the last line of stdout, and all else on stderr"),
};

const formatBytes = (bytes: number): string =>
  bytes < 1e5 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
const formatCount = (count: number): string => (count < 1e4 ? `${count}` : `${(count / 1e6).toFixed(2)} M`);

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    await access(folder, constants.W_OK);
  } catch (cause) {
    throw new ArgumentError(`--out ${folder}: cannot be written to: ${(cause as Error).message}`);
  }
}

function newModel(o: Values<typeof options>, vocabSize: number): GPT {
  if (o.width % o.heads !== 0) {
    throw new ArgumentError(`--width must be a multiple of --heads; got ${o.width} and ${o.heads}`);
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

function newSchedule({ lr, minLr = lr / 10, warmup, steps }: Values<typeof options>) {
  if (minLr > lr) throw new ArgumentError(`--min-lr must be at most --lr; got ${minLr} and ${lr}`);
  if (warmup !== undefined && warmup > steps) {
    throw new ArgumentError(`--warmup must be at most --steps; got ${warmup} and ${steps}`);
  }
  const warmupSteps = warmup ?? Math.min(100, Math.floor(steps / 10));
  return cosineSchedule({ peak: lr, floor: minLr, warmupSteps, steps });
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
    const learningRate = newSchedule(o);
    const model = newModel(o, corpus.tokenizer.size);
    await makeFolder(o.out);
    const { isa, threads } = info();
    const parameters = model.parameterCount;
    say(
      [
        `trainformer ${version}`,
        o.device === "cpu" ? `cpu ${isa}` : o.device,
        ...(o.dtype === "bf16" ? ["bf16"] : []),
        `${threads} thread${threads === 1 ? "" : "s"}`,
        `${formatCount(parameters)} parameters`,
        `${formatBytes(corpus.bytes)} text, ${corpus.tokenizer.size} characters`,
      ].join(" · "),
    );

    const evalEvery = o.evalEvery ?? Math.max(100, Math.ceil(o.steps / 10));
    const outcome = await train(
      {
        model,
        corpus,
        learningRate,
        weightDecay: o.weightDecay,
        maxGradNorm: o.gradClip,
        steps: o.steps,
        batchSize: o.batch,
        evalEvery,
        saveEvery: o.saveEvery ?? evalEvery,
        folder: o.out,
        seed: o.seed,
      },
      signal,
    );
    const heldOutLoss = await unlessAborted(signal, () =>
      model.evaluate(corpus.heldOut, { batchSize: o.batch, signal }),
    );
    const peakRssBytes = process.resourceUsage().maxRSS * 1024;
    if (heldOutLoss !== undefined) {
      const bits = (heldOutLoss / Math.LN2).toFixed(3);
      const memory = `peak memory ${formatBytes(peakRssBytes)}`;
      say(`  held-out loss ${heldOutLoss.toFixed(4)} (${bits} bits per character), ${memory}`);
    }
    const ended = signal.aborted ? `interrupted after step ${outcome.steps}: ` : "";
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
    return signal.aborted ? interrupted : 0;
  },
});
