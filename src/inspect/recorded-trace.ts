import { noGrad } from "../autograd.ts";
import { ArgumentError } from "../errors.ts";
import { type StoredTensor, writeSafetensors } from "../io/safetensors.ts";
import { unscoped } from "../memory.ts";
import { zeros } from "../ops/creation.ts";
import { reshape, toDevice } from "../ops/views.ts";
import type { Tensor } from "../tensor.ts";
import type { Anatomy } from "./anatomy.ts";
import { effectsOf } from "./effects.ts";
import { firstRow, type Inputs, tokensOf } from "./inputs.ts";
import { lensOf } from "./lens.ts";
import { type MessageName, nearest } from "./names.ts";
import type { Plan } from "./plan.ts";
import type { Recorder } from "./recorder.ts";
import { routeOf } from "./route.ts";
import type {
  Effects,
  EffectsOptions,
  Lens,
  Message,
  MessagesOptions,
  Token,
  Trace,
  TraceTokenizer,
} from "./types.ts";

/** A run that was heard. */
export class RecordedTrace implements Trace {
  readonly tokens: readonly Token[];
  readonly sourceTokens: readonly Token[] | undefined;
  readonly names: readonly MessageName[];
  readonly objective: number | undefined;
  private readonly anatomy: Anatomy;
  private readonly inputs: Inputs;
  private readonly plan: Plan;
  private readonly recorder: Recorder;

  /** @internal */
  constructor(
    run: { anatomy: Anatomy; inputs: Inputs; plan: Plan; recorder: Recorder; objective: number | undefined },
    tokenizer: TraceTokenizer | undefined,
  ) {
    const { inputs, plan, recorder } = run;
    this.anatomy = run.anatomy;
    this.inputs = inputs;
    this.plan = plan;
    this.recorder = recorder;
    this.objective = run.objective;
    this.tokens = tokensOf(firstRow(inputs.tokens), tokenizer);
    this.sourceTokens = inputs.source && tokensOf(firstRow(inputs.source), tokenizer);
    this.names = [...plan.messages.values()].flatMap(({ name }) => (recorder.kept.has(name) ? [name] : []));
  }

  get(name: MessageName): Tensor {
    const t = this.recorder.kept.get(name);
    return t ? this.read(name, this.recorder.kept, t) : this.missing(name);
  }

  grad(name: MessageName): Tensor {
    const { kept, gradients } = this.recorder;
    const value = kept.get(name);
    if (value === undefined) return this.missing(name);
    if (!this.plan.gradients)
      throw new ArgumentError(
        `trace: no gradients; add gradOf, such as "loss" (asked for that of "${name}")`,
      );
    // What led to nothing that was asked for has no gradient on the tape.
    const gradient = gradients.get(name) ?? unscoped(() => zeros(value.shape, { device: value.device }));
    return this.read(name, gradients, gradient);
  }

  /** On the processor, without the axis of a batch of one text. Remembered. */
  private read(name: MessageName, among: Map<string, Tensor>, t: Tensor): Tensor {
    const { shape } = this.plan.messages.get(name)!;
    const isSqueezed = !this.inputs.isSingle || t.rank === shape.length;
    if (t.device === "cpu" && isSqueezed) {
      among.set(name, t);
      return t;
    }
    const here = unscoped(() =>
      noGrad(() => reshape(toDevice(t, "cpu"), isSqueezed ? t.shape : t.shape.slice(1))),
    );
    if (t.device !== "cpu") t.dispose();
    among.set(name, here);
    return here;
  }

  private missing(name: string): never {
    const sent = [...this.plan.messages.keys()];
    if (sent.includes(name)) throw new ArgumentError(`trace: "${name}" was not kept; add keep: ["${name}"]`);
    const { stopAfter } = this.plan;
    const end = stopAfter === undefined ? "" : ` (the run ended after "${stopAfter}")`;
    throw new ArgumentError(`trace: no message "${name}"${end}; did you mean "${nearest(name, sent)}"?`);
  }

  /** What works on one text only. */
  private single(what: string): void {
    if (this.inputs.batchSize === 1) return;
    throw new ArgumentError(`trace: ${what} takes one text; got a batch of ${this.inputs.batchSize}`);
  }

  async lens(options: { top?: number } = {}): Promise<Lens> {
    this.single("lens");
    return lensOf(this.anatomy, this.inputs, (name) => this.get(name), options.top);
  }

  async messages(to: number, options: MessagesOptions = {}): Promise<Message[]> {
    this.single("messages");
    return (await routeOf(this.anatomy, this.inputs, to, options)).messages;
  }

  async effects(options: EffectsOptions = {}): Promise<Effects> {
    this.single("effects");
    return effectsOf(this.anatomy, this.inputs, options);
  }

  async save(path: string): Promise<void> {
    const stored: [string, StoredTensor][] = [];
    const add = async (name: string, t: Tensor) => {
      const data = await t.data();
      stored.push([name, { dtype: t.dtype, shape: [...t.shape], data }]);
    };
    for (const name of this.names) {
      await add(name, this.get(name));
      if (this.plan.gradients) await add(`grad.${name}`, this.grad(name));
    }
    const { model } = this.anatomy as { model: { toHuggingFaceConfig?(): Record<string, unknown> } };
    await writeSafetensors(path, stored, {
      trace: "trainformer-trace/1",
      tokens: JSON.stringify(this.tokens),
      ...(this.sourceTokens && { source_tokens: JSON.stringify(this.sourceTokens) }),
      names: JSON.stringify(this.names),
      config: JSON.stringify(model.toHuggingFaceConfig?.() ?? {}),
      ...(this.objective !== undefined && { objective: String(this.objective) }),
    });
  }

  dispose(): void {
    const { kept, gradients } = this.recorder;
    for (const t of [...kept.values(), ...gradients.values()]) t.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dispose();
  }
}
