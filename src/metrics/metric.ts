import { ArgumentError } from "../errors.ts";

/** What of an evaluation a metric reads beside its loss. What no metric needs is not computed, and not kept. */
export type MetricInput = "predictions" | "labels" | "logits" | "texts";

/** Texts that a model wrote, and what they should have been. */
export interface EvaluatedTexts {
  readonly predictions: readonly string[];
  /** Of each prediction one, or several of which each is as good. */
  readonly references: readonly (string | readonly string[])[];
}

/** The parts of {@link EvalPrediction}; N counts examples, or the tokens of all examples one after the other. */
export interface EvalPredictionParts {
  /** Mean over the examples, or over the tokens that have a label. */
  loss?: number;
  /** `[N]` the class with the largest logit. */
  predictions?: Int32Array;
  /** `[N]` classes, -100 where nothing counts; or `[N, K]` f32 in regression and where several classes may be right. */
  labels?: Int32Array | Float32Array;
  /** `[N, K]`, row by row. */
  logits?: Float32Array;
  texts?: EvaluatedTexts;
}

/**
 * What an evaluation has found, over all of its examples. Each entry of `predictions` and each row of `logits` is what
 * was predicted for the label at the same place: labels are not to be shifted.
 *
 * Reading a part that is not there throws ERR_ARGUMENT: what a metric reads it says in `needs`.
 */
export class EvalPrediction {
  readonly #parts: EvalPredictionParts;

  constructor(parts: EvalPredictionParts) {
    this.#parts = parts;
  }

  get loss(): number {
    return this.#get("loss");
  }

  get predictions(): Int32Array {
    return this.#get("predictions");
  }

  get labels(): Int32Array | Float32Array {
    return this.#get("labels");
  }

  get logits(): Float32Array {
    return this.#get("logits");
  }

  get texts(): EvaluatedTexts {
    return this.#get("texts");
  }

  #get<K extends keyof EvalPredictionParts>(part: K): NonNullable<EvalPredictionParts[K]> {
    const value = this.#parts[part];
    if (value !== undefined) return value;
    const present = Object.entries(this.#parts).flatMap(([name, given]) => (given === undefined ? [] : name));
    throw new ArgumentError(
      `metric: ${part} must be among what the evaluation made (what a metric reads must be in its needs); got ${present.join(", ") || "nothing"}`,
    );
  }
}

/** What a Trainer computes from an evaluation, and reports as `evalName`. */
export interface Metric {
  /** Of the number that `compute` gives, in camelCase: `f1` is reported as `evalF1`. Several numbers have names of their own. */
  readonly name: string;
  /** Default predictions and labels. The loss is always there where the model has one. */
  readonly needs?: readonly MetricInput[];
  /** Whether more is better. Default true. */
  readonly greaterIsBetter?: boolean;
  compute(evaluation: EvalPrediction): MetricValue | Promise<MetricValue>;
}

/** One number, or several by name. */
export type MetricValue = number | Readonly<Record<string, number>>;
