import { noGrad, record, withRecording } from "../autograd.ts";
import { DtypeError, ShapeError, TrainformerError } from "../errors.ts";
import { scope, unscoped } from "../memory.ts";
import { type Listener, listening } from "../messages.ts";
import { clone } from "../ops/views.ts";
import { showShape } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import type { Anatomy } from "./anatomy.ts";
import { type Inputs, tensorsOf } from "./inputs.ts";
import type { MessageName } from "./names.ts";
import { parseName } from "./names.ts";
import type { Plan, PlannedEdit } from "./plan.ts";
import { changedIn, partIn } from "./region.ts";
import { undisturbed } from "./undisturbed.ts";

/** Ends a run at a message. */
export const stopped = Symbol("stopped");

const copyOf = (t: Tensor): Tensor => unscoped(() => noGrad(() => clone(t.detach())));

/** The number, made of a message, at which a backward pass begins. */
export interface Objective {
  readonly of: string;
  value(message: Tensor): Tensor;
}

/** Keeps and changes what a model sends, as a plan says. */
export class Recorder implements Listener {
  /** Copies, outside of every scope. */
  readonly kept = new Map<string, Tensor>();
  readonly gradients = new Map<string, Tensor>();
  private readonly plan: Plan;
  /** Where the tape begins: parameters are constants. */
  private readonly leaves = new Map<string, Tensor>();
  private root: Tensor | undefined;
  private objective: Objective | undefined;

  constructor(plan: Plan) {
    this.plan = plan;
  }

  wants(name: string): boolean {
    const { kept, gradients, edits, stopAfter } = this.plan;
    return kept.has(name) || gradients?.has(name) || edits.has(name) || name === stopAfter;
  }

  around<T>(path: string, body: () => T): T {
    // What a layer makes is of no use after it, unless a backward pass is to come.
    return !this.plan.gradients && /layer\.\d+\.$/.test(path) ? scope(body) : body();
  }

  hear(name: string, value: Tensor): Tensor {
    const { kept, edits, stopAfter, gradients } = this.plan;
    let sent = value;
    for (const planned of edits.get(name) ?? []) sent = edited(sent, planned);
    if (kept.has(name)) this.kept.set(name, copyOf(sent));
    if (gradients) sent = this.taped(name, sent, gradients.has(name));
    if (name === this.objective?.of) this.root = sent;
    if (name === stopAfter) throw stopped;
    return sent;
  }

  /** The same, on the tape, where the gradient by it is kept as it passes. */
  private taped(name: string, value: Tensor, isAsked: boolean): Tensor {
    if (value.requiresGrad && !isAsked) return value;
    const same = value.detach();
    if (value.requiresGrad) {
      record("message", [value], [same], {
        backward: (pass, [dy]) => {
          this.gradients.set(name, copyOf(dy!));
          pass.give(value, dy!);
        },
      });
    } else {
      same.requiresGrad = true;
      this.leaves.set(name, same);
    }
    return same;
  }

  /** Runs the model, then back from the objective, whose value is given. */
  run(anatomy: Anatomy, inputs: Inputs, objective?: Objective): Tensor | undefined {
    const body = () => {
      try {
        listening(this, () => anatomy.run(tensorsOf(anatomy, inputs)));
      } catch (error) {
        if (error !== stopped) throw error;
      }
      if (objective === undefined) return undefined;
      const value = objective.value(this.root!);
      if (!(value instanceof Tensor) || value.size !== 1) {
        const came = value instanceof Tensor ? showShape(value.shape) : String(value);
        throw new ShapeError(`trace: gradOf must give a tensor of one number; got ${came}`);
      }
      value.backward();
      for (const [name, leaf] of this.leaves) {
        if (leaf.grad && this.plan.gradients?.has(name)) this.gradients.set(name, copyOf(leaf.grad));
      }
      return value.detach();
    };
    this.objective = objective;
    const constant = this.plan.gradients !== undefined;
    try {
      return unscoped(() =>
        scope(() => withRecording(constant, () => undisturbed(anatomy.model, body, { constant }))),
      );
    } catch (error) {
      for (const t of [...this.kept.values(), ...this.gradients.values()]) t.dispose();
      throw error;
    } finally {
      this.leaves.clear();
      this.root = undefined;
    }
  }
}

function edited(value: Tensor, { edit, message, region }: PlannedEdit): Tensor {
  const context = {
    name: message.name as MessageName,
    layer: parseName(message.name).layer,
    partOf: (whole: Tensor) => partIn(whole, region, message),
  };
  return changedIn(value, region, message, (part) => {
    const by = edit.apply(part, context);
    if (by === undefined) return part;
    const isSame = by instanceof Tensor && showShape(by.shape) === showShape(part.shape);
    if (!isSame) {
      const came = by instanceof Tensor ? showShape(by.shape) : String(by);
      throw new ShapeError(`edit of ${message.name}: apply must give ${showShape(part.shape)}; got ${came}`);
    }
    if (by.dtype !== part.dtype)
      throw new DtypeError(`edit of ${message.name}: apply must give ${part.dtype}; got ${by.dtype}`);
    if (by.device !== part.device) {
      throw new TrainformerError(
        "ERR_DEVICE",
        `edit of ${message.name}: apply must give a tensor on ${part.device}; got one on ${by.device}`,
      );
    }
    return by;
  });
}
