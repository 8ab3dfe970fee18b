import { join } from "node:path";
import { checkInteger } from "../../errors.ts";
import type { Tensor } from "../../tensor.ts";
import type { Logs, TrainerCallback, TrainerEvent } from "../callback.ts";
import { tagOf } from "./names.ts";
import { SummaryWriter } from "./summary-writer.ts";

export interface TensorBoardReporterOptions {
  /** The folder whose `runs` the event files are in: `tensorboard --logdir <outputDir>` finds them. */
  outputDir: string;
  /**
   * Evaluations between histograms of weights, and of the gradients of the update that follows; 0, the default, for
   * none. Each reads every parameter and its gradient back.
   */
  histogramEvery?: number;
}

/**
 * Writes what is logged for TensorBoard, with Hugging Face's tags: `train/loss`, `train/learning_rate`,
 * `train/grad_norm`, `eval/loss`, …; the model's configuration as text; and, where asked for, histograms as
 * `weights/<parameter>` and `gradients/<parameter>`, before clipping. Of parameters that hold NaN or infinities the
 * other values are counted, and how many they are is the scalar `nonfinite/<tag>`.
 *
 * A run that is resumed writes a file of its own, and TensorBoard hides what earlier files say of later steps.
 */
export class TensorBoardReporter implements TrainerCallback {
  readonly #folder: string;
  readonly #histogramEvery: number;
  #writer: SummaryWriter | undefined;
  #evaluations = 0;
  #wantsGradients = false;
  #gradients: { name: string; values: Promise<Float32Array | Int32Array> }[] = [];

  /** @throws ArgumentError unless `histogramEvery` is an integer of at least 0 */
  constructor({ outputDir, histogramEvery = 0 }: TensorBoardReporterOptions) {
    this.#folder = join(outputDir, "runs");
    this.#histogramEvery = checkInteger("TensorBoardReporter: histogramEvery", histogramEvery, 0);
  }

  async onTrainBegin({ model, state }: TrainerEvent): Promise<void> {
    await this.#writer?.close();
    this.#writer = new SummaryWriter(this.#folder, {
      purgeStep: state.globalStep === 0 ? 0 : state.globalStep + 1,
    });
    const { config } = model as { config?: unknown };
    if (config !== undefined)
      this.#writer.addText("model_config", `\`\`\`json\n${JSON.stringify(config, null, 2)}\n\`\`\``);
    await this.#writer.flush();
  }

  async onLog({ state, logs }: TrainerEvent & { logs: Logs }): Promise<void> {
    this.#writer ??= new SummaryWriter(this.#folder); // an evaluation without training
    for (const [name, value] of Object.entries(logs))
      this.#writer.addScalar(tagOf(name), value, state.globalStep);
    await this.#writer.flush();
  }

  async onEvaluate({ model, state }: TrainerEvent): Promise<void> {
    if (this.#histogramEvery === 0 || ++this.#evaluations % this.#histogramEvery !== 0) return;
    for (const [name, parameter] of model.namedParameters())
      await this.#addHistogram(`weights/${name}`, parameter.toTypedArray(), state.globalStep);
    this.#wantsGradients = true;
  }

  /** Reads are enqueued before the optimizer uses the gradients up, and waited for after the step. */
  onPreOptimizerStep({ model }: TrainerEvent): void {
    if (!this.#wantsGradients) return;
    this.#wantsGradients = false;
    const withGradients = [...model.namedParameters()].filter(([, { grad }]) => grad !== undefined);
    this.#gradients = withGradients.map(([name, { grad }]) => ({
      name,
      values: (grad as Tensor).toTypedArray(),
    }));
    for (const { values } of this.#gradients) values.catch(() => {}); // onStepEnd awaits it
  }

  async onStepEnd({ state }: TrainerEvent): Promise<void> {
    const gradients = this.#gradients;
    this.#gradients = [];
    for (const { name, values } of gradients)
      await this.#addHistogram(`gradients/${name}`, values, state.globalStep);
  }

  async onTrainEnd(): Promise<void> {
    await this.#writer?.close();
    this.#writer = undefined;
    this.#wantsGradients = false;
  }

  async #addHistogram(tag: string, reading: Promise<Float32Array | Int32Array>, step: number): Promise<void> {
    this.#writer ??= new SummaryWriter(this.#folder);
    const values = await reading;
    const finite = values.filter((value) => Number.isFinite(value));
    if (finite.length > 0) await this.#writer.addHistogram(tag, finite, step);
    if (finite.length < values.length)
      this.#writer.addScalar(`nonfinite/${tag}`, values.length - finite.length, step);
  }
}
