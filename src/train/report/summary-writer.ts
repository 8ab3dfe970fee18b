import { hostname } from "node:os";
import { join } from "node:path";
import { ArgumentError, checkInteger } from "../../errors.ts";
import { Tensor } from "../../tensor.ts";
import { EventFile, event, fileVersion } from "./event-file.ts";
import { histogram } from "./histogram.ts";
import { type Hparam, hparamsValues } from "./hparams.ts";
import { type ImageArray, type ImageLayout, imageSamples } from "./image-samples.ts";
import { encodePNG } from "./png.ts";
import { Message } from "./protobuf.ts";
import { histogramValue, imageValue, scalarValue, summary, textValue } from "./summary.ts";

export interface SummaryWriterOptions {
  /**
   * For a run that is resumed: TensorBoard hides what earlier files in the folder say of this step and later ones.
   */
  purgeStep?: number;
  /** Seconds since 1970, `Date.now() / 1000` by default. */
  now?: () => number;
}

export type HistogramValues = Tensor | ArrayLike<number>;

/** `runs/Nov22_13-05-09_host`, as torch's. */
function defaultFolder(): string {
  const [, month, day, , time] = new Date().toString().split(" ");
  return join("runs", `${month}${day}_${time!.replaceAll(":", "-")}_${hostname()}`);
}

/**
 * Writes event files for TensorBoard, with the methods of torch.utils.tensorboard. Each writer makes a file of its own
 * in its folder, and never changes another: several in one folder are one run.
 *
 * ```ts
 * const writer = new SummaryWriter("runs/first");
 * writer.addScalar("train/loss", 1.712, 500);
 * await writer.addHistogram("weights/head", model.head.weight, 500);
 * await writer.close();
 * ```
 *
 * Steps are integers of at least 0, times are seconds since 1970. What is added goes to the file at once and beside the
 * event loop; `flush` waits for it. Methods that may read a tensor return a promise.
 *
 * @throws ERR_CHECKPOINT if the file cannot be written: at once where it is made, later from the next call
 */
export class SummaryWriter {
  readonly folder: string;
  readonly #file: EventFile;
  readonly #now: () => number;
  /** Writers of `addScalars` and `addHparams`, by folder. */
  readonly #others = new Map<string, SummaryWriter>();
  readonly #reading = new Set<Promise<unknown>>();
  #isClosed = false;

  constructor(folder: string = defaultFolder(), options: SummaryWriterOptions = {}) {
    const { purgeStep, now = () => Date.now() / 1000 } = options;
    if (purgeStep !== undefined) checkInteger("SummaryWriter: purgeStep", purgeStep, 0);
    this.folder = folder;
    this.#now = now;
    this.#file = new EventFile(folder, now());
    if (purgeStep === undefined) return;
    const sessionStart = new Message().integer(1, 1);
    this.#file.add(fileVersion(now(), purgeStep));
    this.#file.add(event(now(), purgeStep).message(7, sessionStart));
  }

  /** The file that is written. */
  get path(): string {
    return this.#file.path;
  }

  addScalar(tag: string, value: number, globalStep = 0, walltime = this.#now()): void {
    if (typeof value !== "number")
      throw new ArgumentError(`addScalar: value must be a number; got ${String(value)}`);
    this.#add("addScalar", tag, globalStep, walltime, scalarValue(tag, value));
  }

  /** Curves in one chart: each has a folder of its own, as torch's, and is a run in TensorBoard. */
  addScalars(
    mainTag: string,
    values: Readonly<Record<string, number>>,
    globalStep = 0,
    walltime = this.#now(),
  ): void {
    this.#check("addScalars", mainTag, globalStep);
    for (const [tag, value] of Object.entries(values)) {
      this.#other(`${mainTag.replaceAll("/", "_")}_${tag}`).addScalar(mainTag, value, globalStep, walltime);
    }
  }

  /**
   * Counts values into TensorBoard's default buckets, 10 % wide.
   *
   * @throws ERR_ARGUMENT if there are none, or one is not finite
   */
  addHistogram(tag: string, values: HistogramValues, globalStep = 0, walltime = this.#now()): Promise<void> {
    return this.#afterReading("addHistogram", tag, globalStep, walltime, async () => {
      const numbers = values instanceof Tensor ? await values.toTypedArray() : values;
      return histogramValue(tag, histogram(numbers));
    });
  }

  /** Text, which TensorBoard reads as Markdown. */
  addText(tag: string, text: string, globalStep = 0, walltime = this.#now()): void {
    if (typeof text !== "string")
      throw new ArgumentError(`addText: text must be a string; got ${String(text)}`);
    this.#add("addText", tag, globalStep, walltime, textValue(tag, text));
  }

  /**
   * An image of 1 to 4 channels (gray, gray with alpha, RGB, RGBA): floats from 0 to 1, or bytes. `dataformats` is the
   * order of its axes, [channels, height, width] by default.
   *
   * @throws ERR_SHAPE if the image is not of that shape
   */
  addImage(
    tag: string,
    image: Tensor | ImageArray,
    globalStep = 0,
    { walltime = this.#now(), dataformats = "CHW" }: { walltime?: number; dataformats?: ImageLayout } = {},
  ): Promise<void> {
    return this.#afterReading("addImage", tag, globalStep, walltime, async () => {
      const array =
        image instanceof Tensor
          ? { data: Float32Array.from(await image.toTypedArray()), shape: image.shape }
          : image;
      const { samples, height, width, channels } = imageSamples(array, dataformats);
      return imageValue(tag, encodePNG(samples, height, width, channels), height, width, channels);
    });
  }

  /** Settings of a run and what came of it, for the table of hyperparameters: a run of its own in a folder `runName`. */
  addHparams(
    hparams: Readonly<Record<string, Hparam>>,
    metrics: Readonly<Record<string, number>>,
    { runName = String(this.#now()), globalStep = 0 }: { runName?: string; globalStep?: number } = {},
  ): void {
    const values = hparamsValues(hparams, metrics);
    this.#check("addHparams", runName, globalStep);
    const run = this.#other(runName);
    for (const value of values) run.#file.add(event(this.#now(), globalStep).message(5, summary(value)));
    for (const [tag, value] of Object.entries(metrics)) run.addScalar(tag, value, globalStep);
  }

  /** Once everything that was added is in the files. */
  async flush(): Promise<void> {
    while (this.#reading.size > 0) await Promise.allSettled(this.#reading);
    await this.#file.flush();
    for (const other of this.#others.values()) await other.flush();
  }

  /** `flush`, and nothing can be added any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.flush();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #check(method: string, tag: string, globalStep: number): void {
    if (this.#isClosed) throw new ArgumentError(`${method}: the writer of ${this.path} is closed`);
    if (typeof tag !== "string" || tag === "")
      throw new ArgumentError(`${method}: tag must be a string that is not empty; got ${String(tag)}`);
    checkInteger(`${method}: globalStep`, globalStep, 0);
  }

  #add(method: string, tag: string, globalStep: number, walltime: number, value: Message): void {
    this.#check(method, tag, globalStep);
    this.#file.add(event(walltime, globalStep).message(5, summary(value)));
  }

  #afterReading(
    method: string,
    tag: string,
    globalStep: number,
    walltime: number,
    read: () => Promise<Message>,
  ): Promise<void> {
    this.#check(method, tag, globalStep);
    const added = read().then((value) =>
      this.#file.add(event(walltime, globalStep).message(5, summary(value))),
    );
    this.#reading.add(added);
    const forget = () => this.#reading.delete(added);
    added.then(forget, forget);
    return added;
  }

  #other(name: string): SummaryWriter {
    let writer = this.#others.get(name);
    if (!writer)
      this.#others.set(name, (writer = new SummaryWriter(join(this.folder, name), { now: this.#now })));
    return writer;
  }
}
