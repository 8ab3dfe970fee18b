import { noGrad } from "../autograd.ts";
import { scope, unscoped } from "../memory.ts";
import { type Listener, listening } from "../messages.ts";
import { clone, expand } from "../ops/views.ts";
import type { Tensor } from "../tensor.ts";
import type { Anatomy } from "./anatomy.ts";
import { type Inputs, tensorsOf } from "./inputs.ts";
import { streamsOf } from "./lens.ts";
import { stopped } from "./recorder.ts";
import { undisturbed } from "./undisturbed.ts";

/** Where the variants of a text part from each other. */
export interface Fork {
  /** A message of the text, `[1, …]`. */
  readonly at: string;
  /** A message before it that `variants` needs. */
  readonly also?: string;
  /** Gives what the n variants send in its place, `[n, …]`. */
  variants(sent: Tensor, also: Tensor | undefined): Tensor;
}

/**
 * A run of one text in variants. Up to the fork the text is one row; from there on the variants are rows of a batch, so
 * that what they share is computed once. Sums broadcast the stream; what else meets it is widened here.
 */
class Branches implements Listener {
  stream: Tensor | undefined;
  private rows = 1;
  private also: Tensor | undefined;
  private readonly fork: Fork | undefined;
  private readonly last: string;

  constructor(fork: Fork | undefined, last: string) {
    this.fork = fork;
    this.last = last;
  }

  wants(name: string): boolean {
    return name === this.fork?.at || name === this.fork?.also;
  }

  around<T>(path: string, body: () => T): T {
    return /layer\.\d+\.$/.test(path) ? scope(body) : body();
  }

  hear(name: string, value: Tensor): Tensor {
    let sent = value;
    if (name === this.fork?.also) this.also = sent;
    if (name === this.fork?.at) {
      sent = this.fork.variants(sent, this.also);
      this.rows = sent.shape[0]!;
    } else if (
      sent.shape[0] === 1 &&
      this.rows > 1 &&
      /^decoder\.layer\.(1\.in|\d+\.cross\.[kv])$/.test(name)
    ) {
      sent = expand(sent, [this.rows, ...sent.shape.slice(1)]);
    }
    if (name !== this.last) return sent;
    this.stream = unscoped(() => clone(sent));
    throw stopped;
  }
}

/** The last stream `[n, T, C]` of the variants, or without a fork of the text. It belongs to the caller. */
export function branchedStream(anatomy: Anatomy, inputs: Inputs, fork?: Fork): Tensor {
  const branches = new Branches(fork, streamsOf(anatomy).at(-1)!);
  try {
    undisturbed(anatomy.model, () =>
      unscoped(() =>
        scope(() => noGrad(() => listening(branches, () => anatomy.run(tensorsOf(anatomy, inputs))))),
      ),
    );
  } catch (error) {
    if (error !== stopped) throw error;
  }
  return branches.stream!;
}

/** How many variants of a text run at once: so many that what the widest part of a layer makes of them is small. */
export function variantsAtOnce({ bodies, hiddenSize }: Anatomy, { tokens, source }: Inputs): number {
  const T = Math.max(tokens.length, source?.length ?? 0);
  const widths = bodies.flatMap(({ blocks }) => blocks.map((block) => block.mlp.down.weight.shape[1]!));
  return Math.max(1, Math.floor(2 ** 24 / (T * Math.max(hiddenSize, ...widths))));
}
