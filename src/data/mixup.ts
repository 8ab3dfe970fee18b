import { checkInteger, checkNumber, DtypeError, ShapeError } from "../errors.ts";
import { crossEntropy } from "../ops/crossentropy.ts";
import { add, scale } from "../ops/elementwise.ts";
import { embedding } from "../ops/embedding.ts";
import { reshape } from "../ops/views.ts";
import { showShape } from "../shape.ts";
import { type Tensor, tensor } from "../tensor.ts";
import { symmetricBeta } from "./beta.ts";
import { exampleRandom } from "./example-random.ts";

export interface MixupOptions {
  /** α of the Beta distribution of λ; the larger it is, the more is mixed. Default 0.2. */
  alpha?: number;
  /** Integer from 0 to 2⁵³ - 1. */
  seed: number;
  /** Which step of training this is, from 0: each mixes otherwise. */
  step: number;
}

/** A batch of which each example is mixed with another. */
export interface Mixup {
  /** `[B, ...]` `λ · x[b] + (1 − λ) · x[partner of b]` */
  inputs: Tensor;
  /** λ, from 0 to 1: the share of an example in what it has become. */
  lambda: number;
  /** `[B]` which example each is mixed with. */
  partners: Int32Array;
  /** The loss of logits `[B, K]` for labels `[B]` i32 mixed in the same way: `λ · H(labels) + (1 − λ) · H(labels of partners)`. */
  loss(logits: Tensor, labels: Tensor): Tensor;
}

/**
 * Mixes each example of a batch with another, and its label in the same way: a classifier learns to be linear in between.
 * What is mixed are embeddings or pooled states, for token ids cannot be.
 *
 * ```ts
 * const { inputs, loss } = mixup(encoder(ids), { seed, step: i });
 * loss(head(inputs), labels).backward();
 * ```
 *
 * The gradient goes to both. λ is drawn from Beta(α, α), one for the batch, as in the authors' code; it and the partners
 * are a pure function of the seed and the step.
 *
 * @param x `[B, ...]`, f32 or bf16
 * @throws ERR_SHAPE on a scalar; ERR_DTYPE on i32; ERR_ARGUMENT on a bad option
 * @see Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization"; Guo et al. 2019, "Augmenting Data with Mixup for
 *   Sentence Classification"
 */
export function mixup(x: Tensor, { alpha = 0.2, seed, step }: MixupOptions): Mixup {
  checkNumber("mixup: alpha", alpha, 1e-6, 1e6);
  checkInteger("mixup: step", step, 0, 2 ** 32 - 1);
  if (x.rank === 0) throw new ShapeError(`mixup: x must be [B, ...]; got ${showShape(x.shape)}`);
  if (x.dtype === "i32") throw new DtypeError("mixup: x must be f32 or bf16, embeddings; got i32");
  const random = exampleRandom("mixup", seed, 0, step);
  const lambda = symmetricBeta(random, alpha);
  const B = x.shape[0]!;
  const partners = random.shuffle(Int32Array.from({ length: B }, (_, b) => b));
  const rows = (order: Int32Array, of: Tensor) =>
    embedding(tensor(order, [B], { device: of.device }), reshape(of, [B, of.size / B]));
  const others = reshape(rows(partners.slice(), x), x.shape);
  return {
    inputs: add(scale(x, lambda), scale(others, 1 - lambda)),
    lambda,
    partners,
    loss(logits, labels) {
      if (labels.dtype !== "i32")
        throw new DtypeError(`mixup: labels must be i32, classes; got ${labels.dtype}`);
      if (labels.rank !== 1 || labels.size !== B) {
        throw new ShapeError(`mixup: labels must be [${B}], as x has; got ${showShape(labels.shape)}`);
      }
      if (logits.rank !== 2 || logits.shape[0] !== B) {
        throw new ShapeError(`mixup: logits must be [${B}, K]; got ${showShape(logits.shape)}`);
      }
      // Row b has the label of its partner: the row whose partner is b has that of b, and so labels stay where they are.
      const inverse = new Int32Array(B);
      partners.forEach((partner, b) => (inverse[partner] = b));
      const partnerLoss = crossEntropy(rows(inverse, logits), labels);
      return add(scale(crossEntropy(logits, labels), lambda), scale(partnerLoss, 1 - lambda));
    },
  };
}
