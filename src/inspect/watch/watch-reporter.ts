import path from "node:path";
import { ArgumentError, checkInteger } from "../../errors.ts";
import type { GenerationTokenizer, GenerativeModel } from "../../generate/decoding.ts";
import { generate } from "../../generate/generate.ts";
import type { GenerationConfig } from "../../generate/generation-config.ts";
import { writeAtomically } from "../../io/files.ts";
import { snakeCase } from "../../letter-case.ts";
import { CausalLM } from "../../models/causal-lm.ts";
import type { AnyModule } from "../../nn/module.ts";
import type { Logs, TrainerCallback, TrainerEvent } from "../../train/callback.ts";
import { PageFile } from "../report/page-file.ts";
import { History, type WatchLine } from "./history.ts";
import { LayerMonitor } from "./layer-norms.ts";
import { probe, repeatedTokens } from "./probe.ts";
import { RunFile } from "./run-file.ts";
import { WatchServer } from "./server.ts";

export interface WatchReporterOptions {
  /** The folder of `watch.jsonl` and `train.html`. Default: the trainer's outputDir. */
  outputDir?: string;
  /** What the page calls the run. Default: the folder. */
  title?: string;
  /** Default 0: a free one. Undefined or a number; false writes the files and serves nothing. */
  port?: number | false;
  /** Is told the address. Default: a line on stderr. */
  onListen?: (url: string) => void;
  /** Updates from one look at the gradients of the layers to the next. Default 10. */
  everySteps?: number;
  /** Written on at every evaluation; needs `tokenizer`. Default: nothing is. */
  prompt?: string;
  tokenizer?: GenerationTokenizer;
  /** How. Default 40 tokens, greedily. */
  generation?: Partial<GenerationConfig>;
  /** Tokens that are traced at every evaluation. Default, for a causal language model: random ones said twice. */
  probe?: readonly number[] | false;
}

/**
 * The page of a training run, live: `trainformer train --watch`. It hears what the trainer logs, measures the layers'
 * gradients every few updates and, at evaluations, what the model writes and what its heads do on a probe. Everything
 * goes to `watch.jsonl`; a server on 127.0.0.1 shows it, and at the end the page is written as `train.html`.
 */
export class WatchReporter implements TrainerCallback {
  readonly #options: WatchReporterOptions;
  readonly #everySteps: number;
  #file: RunFile | undefined;
  #server: WatchServer | undefined;
  #layers: LayerMonitor | undefined;
  #probe: readonly number[] | undefined;
  /** What is still being computed or written; its first failure. */
  #pending: Promise<unknown> = Promise.resolve();
  #failure: unknown;

  constructor(options: WatchReporterOptions = {}) {
    this.#options = options;
    this.#everySteps = checkInteger("WatchReporter: everySteps", options.everySteps ?? 10, 1);
    if (options.prompt !== undefined && options.tokenizer === undefined) {
      throw new ArgumentError("WatchReporter: prompt needs a tokenizer; got none");
    }
  }

  /** The address of the page, while it trains. */
  get url(): string | undefined {
    return this.#server?.url;
  }

  async onTrainBegin({ model, state, options }: TrainerEvent): Promise<void> {
    const folder = this.#options.outputDir ?? options?.outputDir;
    if (folder === undefined)
      throw new ArgumentError("WatchReporter: outputDir must be given without a Trainer");
    this.#file = new RunFile(folder);
    await this.#file.resume(state.globalStep);
    this.#layers = new LayerMonitor(model);
    this.#probe = probeOf(model, this.#options.probe);
    const text = this.#probe && this.#options.tokenizer?.decode(this.#probe);
    await this.#append({
      ...{ kind: "begin", step: state.globalStep, time: now(), maxSteps: state.maxSteps },
      ...{ title: this.#options.title ?? path.basename(path.resolve(folder)), facts: factsOf(model) },
      ...{ maxGradNorm: options?.maxGradNorm ?? 0, layers: this.#layers.labels },
      ...(text !== undefined && { probe: text }),
    });
    if (this.#options.port === false) return;
    this.#server = await WatchServer.start(folder, { port: this.#options.port ?? 0 });
    const tell = this.#options.onListen ?? ((url: string) => console.error(`watch: ${url}`));
    tell(this.#server.url);
  }

  onPreOptimizerStep({ state }: TrainerEvent): void {
    if ((state.globalStep + 1) % this.#everySteps === 0) this.#layers?.beforeUpdate();
  }

  onStepEnd({ state }: TrainerEvent): void {
    const step = state.globalStep;
    const measured = this.#layers?.afterUpdate();
    if (measured === undefined) return;
    this.#later(measured.then((norms) => norms && this.#append({ kind: "layers", step, ...norms })));
  }

  async onLog({ state, logs }: TrainerEvent & { readonly logs: Logs }): Promise<void> {
    const values = Object.fromEntries(Object.entries(logs).map(([name, value]) => [snakeCase(name), value]));
    await this.#append({ kind: "log", step: state.globalStep, time: now(), values });
  }

  async onEvaluate({ model, state }: TrainerEvent): Promise<void> {
    const step = state.globalStep;
    const { prompt, tokenizer, generation } = this.#options;
    if (prompt !== undefined && tokenizer !== undefined) {
      const text = await writeOn(model, prompt, tokenizer, generation);
      await this.#append({ kind: "sample", step, prompt, text });
    }
    if (this.#probe) await this.#append(await probe(model, this.#probe, step));
  }

  /** @throws what could not be written or computed meanwhile */
  async onTrainEnd({ state }: TrainerEvent): Promise<void> {
    await this.#pending;
    this.#layers?.drop();
    const file = this.#file;
    if (file === undefined) return;
    await this.#append({ kind: "end", step: state.globalStep, time: now() });
    await this.#server?.notify();
    await this.#server?.close();
    this.#server = undefined;
    await writeWatchPage(path.dirname(file.path));
    if (this.#failure !== undefined) throw this.#failure;
  }

  #later(work: Promise<unknown>): void {
    const noted = work.catch((error) => {
      this.#failure ??= error;
    });
    this.#pending = Promise.all([this.#pending, noted]);
  }

  async #append(line: WatchLine): Promise<void> {
    await this.#file?.append(line);
  }
}

/** Writes the page of the run in a folder, as it is now, to `train.html` in it; it needs nothing else. */
export async function writeWatchPage(folder: string): Promise<string> {
  const history = new History();
  for (const line of (await new RunFile(folder).read(0)).lines) history.add(line);
  const target = path.join(folder, "train.html");
  const page = new PageFile("watch").with(history.begin?.title ?? "training", {
    isLive: false,
    ...history.data(),
  });
  await writeAtomically(target, [Buffer.from(page)]);
  return target;
}

const now = (): number => Date.now() / 1000;

function factsOf(model: AnyModule): string[] {
  const count = model.parameterCount;
  const parameters = count >= 1e6 ? `${(count / 1e6).toPrecision(3)} M` : count.toLocaleString("en");
  const { numLayers, numHeads, hiddenSize } = (model as { config?: Record<string, unknown> }).config ?? {};
  const sizes = [numLayers, numHeads, hiddenSize].every(Number.isInteger);
  return [
    model.constructor.name,
    ...(sizes ? [`${numLayers} layers × ${numHeads} heads × ${hiddenSize}`] : []),
    `${parameters} parameters`,
  ];
}

/** @throws ArgumentError for a probe of a model that has no use for it */
function probeOf(
  model: AnyModule,
  given: readonly number[] | false | undefined,
): readonly number[] | undefined {
  const isCausal = model instanceof CausalLM;
  if (given && !isCausal) {
    throw new ArgumentError(
      `WatchReporter: probe needs a causal language model; got ${model.constructor.name}`,
    );
  }
  if (given !== undefined || !isCausal) return given || undefined;
  const { vocabSize, contextLength } = model.config as { vocabSize: number; contextLength?: number };
  const ids = repeatedTokens(vocabSize, contextLength ?? 48);
  return ids.length >= 4 ? ids : undefined;
}

/** What the model writes behind a prompt, or an encoder–decoder from it. */
async function writeOn(
  model: AnyModule,
  prompt: string,
  tokenizer: GenerationTokenizer,
  generation: Partial<GenerationConfig> = {},
): Promise<string> {
  const options = { maxNewTokens: 40, ...generation, tokenizer };
  const { texts } = await generate(model as unknown as GenerativeModel, prompt, options);
  return texts[0]!;
}
