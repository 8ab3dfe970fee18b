import { inspect } from "node:util";
import { castTo } from "../autograd.ts";
import { type Device, defaultDevice, device, isDevice } from "../device.ts";
import type { Dtype } from "../dtype.ts";
import { ArgumentError, CheckpointError, DtypeError } from "../errors.ts";
import { scope, unscoped } from "../memory.ts";
import { transferred } from "../op.ts";
import { type Shape, showShape } from "../shape.ts";
import { requireGradient, Tensor } from "../tensor.ts";

/** A tensor that belongs to a module and is trained. It outlives the scope in which the module was made. */
export type Parameter = Tensor;

/** Every parameter, and what makes its initial values. */
const initializers = new WeakMap<Tensor, () => Tensor>();
let initializes = true;

/**
 * Makes a tensor a parameter: what `make` returns is found by `Module.parameters()`.
 *
 * @param shape of it, where `make` can be put off: a checkpoint may be read in its place
 */
export function parameter(make: () => Tensor, shape?: Shape): Parameter {
  const t = unscoped(() =>
    initializes || shape === undefined ? make() : Tensor.empty(shape, "f32", defaultDevice()),
  );
  initializers.set(t, make);
  t.isParameter = true;
  return requireGradient(t);
}

/** @internal Runs `make` so that its parameters hold no values: what reads them from a file fills them. */
export function uninitialized<T>(make: () => T): T {
  const before = initializes;
  initializes = false;
  try {
    return make();
  } finally {
    initializes = before;
  }
}

/** @internal Gives a parameter the values that it would have had from the beginning. */
export function initialize(p: Parameter): void {
  scope(() => p.assign(initializers.get(p)!()));
}

const isParameter = (value: unknown): value is Parameter => value instanceof Tensor && value.isParameter;

/** A module of any inputs and result. */
// biome-ignore lint/suspicious/noExplicitAny: inputs are contravariant, so no narrower type fits every module
export type AnyModule = Module<any, unknown>;

export interface LoadResult {
  /** Parameters that the state had no value for. */
  missing: string[];
  /** Names in the state that are no parameter. */
  unexpected: string[];
}

export interface Module<A extends unknown[] = [Tensor], R = Tensor> {
  (...inputs: A): R;
}

/**
 * A part of a model: parameters, further modules in its fields (or in arrays of them), and a `forward`.
 *
 * A module is called like a function: `layer(x)` is `layer.forward(x)`.
 *
 * ```ts
 * class FeedForward extends Module {
 *   up; down;
 *   constructor(hiddenSize: number) {
 *     super();
 *     this.up = new Linear(hiddenSize, 4 * hiddenSize);
 *     this.down = new Linear(4 * hiddenSize, hiddenSize);
 *   }
 *   forward(x: Tensor): Tensor {
 *     return this.down(gelu(this.up(x)));
 *   }
 * }
 * ```
 */
export abstract class Module<A extends unknown[] = [Tensor], R = Tensor> {
  /** Whether dropout is active. Set by `train()` and `eval()`. */
  training!: boolean;

  constructor() {
    const self = ((...inputs: A) => self.forward(...inputs)) as unknown as this;
    Object.setPrototypeOf(self, new.target.prototype);
    Object.defineProperty(self, "training", { value: true, writable: true });
    // biome-ignore lint/correctness/noConstructorReturn: the instance is a function, so that it can be called
    return self;
  }

  abstract forward(...inputs: A): R;

  /** The modules directly inside this one, with the names of the fields that hold them. */
  *children(): Generator<[string, AnyModule]> {
    for (const [name, value] of Object.entries(this)) {
      if (value instanceof Module) yield [name, value];
      else if (Array.isArray(value)) {
        for (const [i, item] of value.entries()) if (item instanceof Module) yield [`${name}.${i}`, item];
      }
    }
  }

  /** Every parameter once, by its path: a parameter used in two places (tied weights) has the name of the first. */
  *namedParameters(prefix = "", seen = new Set<Tensor>()): Generator<[string, Parameter]> {
    for (const [name, value] of Object.entries(this)) {
      if (!isParameter(value) || seen.has(value)) continue;
      seen.add(value);
      yield [prefix + name, value];
    }
    for (const [name, child] of this.children()) yield* child.namedParameters(`${prefix}${name}.`, seen);
  }

  parameters(): Parameter[] {
    return [...this.namedParameters()].map(([, p]) => p);
  }

  /** Where its first parameter lives, and with it the rest; `defaultDevice()` for a module without any. */
  get device(): Device {
    const [first] = this.namedParameters();
    return first?.[1].device ?? defaultDevice();
  }

  /** Number of trained values. */
  get parameterCount(): number {
    return this.parameters().reduce((sum, p) => sum + p.size, 0);
  }

  /** The parameters by name, sharing their memory: for saving. */
  stateDict(): Map<string, Tensor> {
    return new Map(this.namedParameters());
  }

  /**
   * Copies values into the parameters of the same names.
   *
   * @param options.strict default true: a missing or unexpected name throws
   * @throws ERR_CHECKPOINT naming the parameter, its shape and what came
   */
  loadStateDict(state: ReadonlyMap<string, Tensor>, options: { strict?: boolean } = {}): LoadResult {
    const own = this.stateDict();
    const missing = [...own.keys()].filter((name) => !state.has(name));
    const unexpected = [...state.keys()].filter((name) => !own.has(name));
    if ((options.strict ?? true) && missing.length + unexpected.length > 0) {
      const list = (names: string[]) =>
        (names.length > 5 ? [...names.slice(0, 5), `and ${names.length - 5} more`] : names).join(", ");
      throw new CheckpointError(
        `loadStateDict: missing: ${list(missing) || "none"}; unexpected: ${list(unexpected) || "none"}`,
      );
    }
    for (const [name, p] of own) {
      const value = state.get(name);
      if (value === undefined) continue;
      if (showShape(value.shape) !== showShape(p.shape)) {
        throw new CheckpointError(
          `loadStateDict: ${name} must be ${showShape(p.shape)}; got ${showShape(value.shape)}`,
        );
      }
    }
    for (const [name, p] of own) {
      const value = state.get(name);
      if (value !== undefined) p.assign(value);
    }
    return { missing, unexpected };
  }

  /** Sets this module and all inside it to training mode (dropout active) or, with false, to evaluation mode. */
  train(mode = true): this {
    this.training = mode;
    for (const [, child] of this.children()) child.train(mode);
    return this;
  }

  /** Evaluation mode: dropout does nothing. */
  eval(): this {
    return this.train(false);
  }

  /**
   * Casts every parameter to a dtype, or moves everything in it to a device, in place. Gradients are forgotten.
   *
   * @throws ERR_ARGUMENT if an optimizer has the parameters already
   */
  to(target: Dtype | Device): this {
    if (isDevice(target)) {
      this.moveTo(device(target));
      return this;
    }
    const dtype = target;
    if (dtype === "i32") throw new DtypeError("to: parameters must be f32 or bf16; got i32");
    for (const p of this.parameters())
      if (p.dtype !== dtype) p.replaceStorage(unscoped(() => castTo(p, dtype)));
    return this;
  }

  private moveTo(place: Device): void {
    for (const [name, value] of Object.entries(this)) {
      if (!(value instanceof Tensor) || value.device === place) continue;
      if (value.gradientBuffer !== undefined) {
        throw new ArgumentError(
          `to: ${name} belongs to an optimizer on ${value.device}; move the model before the optimizer is made`,
        );
      }
      value.gradient = undefined;
      value.replaceStorage(unscoped(() => transferred(value, place)));
    }
    for (const [, child] of this.children()) child.moveTo(place);
  }

  [inspect.custom](): string {
    const children = [...this.children()].map(
      ([name, child]) => `  ${name}: ${inspect(child).replaceAll("\n", "\n  ")}`,
    );
    const own = Object.entries(this)
      .filter((entry): entry is [string, Tensor] => isParameter(entry[1]))
      .map(([name, p]) => `${name} ${showShape(p.shape)}`);
    const head = `${this.constructor.name}(${own.join(", ")})`;
    return children.length === 0 ? head : `${head} {\n${children.join("\n")}\n}`;
  }
}
