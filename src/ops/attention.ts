import { defineOp, isRecording, record } from "../autograd.ts";
import {
  ArgumentError,
  checkInteger,
  checkNumber,
  DtypeError,
  ShapeError,
  TrainformerError,
} from "../errors.ts";
import { type GeneratorState, reserveRandom } from "../generator.ts";
import { checkShapes, commonDevice } from "../op.ts";
import { showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { type Masks, matrixAttention, weightMatrix } from "./attention-matrix.ts";
import { asF32 } from "./views.ts";

export interface AttentionOptions {
  /** Query i of T sees the keys up to i + (S − T): all earlier ones, if T = S. Default false. */
  causal?: boolean;
  /**
   * Query i sees only keys j with |i + (S − T) − j| < window: when causal, the last `window` up to its own place.
   * Time then grows as T · window. Default: all.
   */
  window?: number | undefined;
  /** `[B]` i32: only the first `lengths[b]` keys count, the rest is padding. */
  lengths?: Tensor | undefined;
  /** `[B, T]` i32: query i of row b sees no key before `starts[b, i]`, as where documents are packed into one row. */
  starts?: Tensor | undefined;
  /** `[H]` f32: `slopes[h] · (j − (i + S − T))` is added to the score of query i and key j (ALiBi). No gradient. */
  slopes?: Tensor | undefined;
  /**
   * `[⌈T/n⌉, ⌈S/n⌉]` i32, n = `blockSize`: where it is 0, the n queries of that row see none of the n keys of that
   * column.
   */
  blocks?: Tensor | undefined;
  /** Queries and keys in a block of `blocks`. */
  blockSize?: number | undefined;
  /**
   * Of a shape that broadcasts to `[B, H, T, S]`, f32 or bf16: added to the scores after their scaling. Differentiable.
   * With it the weights of attention exist as a matrix [B, H, T, S] in memory, which is kept for the backward pass.
   * Keys and values behind `lengths` must then be finite, as those of padding are: they count 0 times.
   */
  bias?: Tensor | undefined;
  /** Factor of q·kᵀ. Default 1/√D. */
  scale?: number;
  /** Probability with which an attention weight is dropped. Default 0. */
  dropout?: number;
}

const shapes = {
  q: "[B, T, H, D]",
  k: "[B, S, G, D]",
  v: "[B, S, G, D]",
  lengths: "[B]",
  starts: "[B, T]",
  slopes: "[H]",
};

const tiledAttention = defineOp({
  name: "attention",
  args: (q: Tensor, k: Tensor, v: Tensor, masks: Masks, dropout: number, random: GeneratorState) => ({
    q,
    k,
    v,
    ...masks,
    dropout,
    ...random,
  }),
  shapes: { ...shapes, blocks: "[M, N]", y: "[B, T, H, D]", lse: "[B, H, T]" },
  output: "y",
  saved: ["lse"],
});

/**
 * Scaled dot-product attention, `softmax(scale · q·kᵀ) · v` for every head, in tiles: the T × S matrix of weights never
 * exists, forward or backward, unless the scores have a `bias`.
 *
 * @param q    `[B, T, H, D]`
 * @param k, v `[B, S, G, D]`; each of the G key-value heads serves H / G query heads in a row
 * @returns    `[B, T, H, D]`; zeros for a query that sees no key
 * @see Vaswani et al. 2017, eq. 1; Ainslie et al. 2023 (grouped heads); Dao 2023, "FlashAttention-2"; Beltagy et al.
 *      2020, "Longformer", and Jiang et al. 2023, "Mistral 7B" (windows); Press et al. 2022, "Train Short, Test Long"
 *      (slopes); Child et al. 2019, "Sparse Transformers" (blocks)
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  const masks = checkOptions("attention", { q, k, v }, options);
  const p = checkNumber("attention: dropout", options.dropout ?? 0, 0, 1);
  const [B, T, H] = q.shape;
  const random = p === 0 ? { seed: 0, position: 0 } : reserveRandom(B! * H! * T! * k.shape[1]!);
  const { bias } = options;
  if (bias === undefined) return tiledAttention(q, k, v, masks, p, random);
  return matrixAttention(q, k, v, asF32(bias), masks, { p, ...random });
}

/**
 * The weights with which `attention` sums the values, `softmax(scale · q·kᵀ)`, under the same masks and bias. For looking
 * at them: they have no gradient, and a matrix of T × S for each head.
 *
 * @param q `[B, T, H, D]`
 * @param k `[B, S, G, D]`
 * @returns `[B, H, T, S]` in the dtype of `q`; zeros for a query that sees no key
 * @throws  ERR_ARGUMENT for `dropout`, which would be another one than that of `attention`
 */
export function attentionWeights(q: Tensor, k: Tensor, options: AttentionOptions = {}): Tensor {
  const masks = checkOptions("attentionWeights", { q, k }, options);
  if (options.dropout) {
    throw new ArgumentError(
      `attentionWeights: dropout must be 0: the weights are those before dropout; got ${options.dropout}`,
    );
  }
  const p = weightMatrix(q, k, options.bias && asF32(options.bias.detach()), masks);
  record("attentionWeights", [q, k, options.bias], [p], {
    backward() {
      throw new TrainformerError(
        "ERR_GRADIENT",
        "attentionWeights has no gradient; call it within noGrad() or detach() its inputs",
      );
    },
  });
  return p;
}

/** Checks all tensors and numbers, and gives them as the kernels take them. */
function checkOptions(op: string, qkv: Record<string, Tensor>, options: AttentionOptions): Masks {
  const { lengths, starts, slopes, blocks, bias, blockSize, window } = options;
  const given = { ...qkv, lengths, starts, slopes };
  checkShapes({ name: op, shapes }, given);
  commonDevice(op, { ...given, blocks, bias });
  const { q, k } = qkv as { q: Tensor; k: Tensor };
  const [B, T, H, D] = q.shape as [number, number, number, number];
  const [, S, G] = k.shape as [number, number, number];
  if (G === 0 || H % G !== 0) {
    throw new ShapeError(
      `${op}: the heads of q must be a multiple of those of k and v; got q ${showShape(q.shape)}, k ${showShape(k.shape)}`,
    );
  }
  for (const [name, t] of Object.entries(qkv)) {
    if (t.dtype === q.dtype && t.dtype !== "i32") continue;
    const wanted = q.dtype === "i32" ? "f32 or bf16" : `${q.dtype}, as q is`;
    throw new DtypeError(`${op}: ${name} must be ${wanted}; got ${t.dtype} (cast with .to())`);
  }
  for (const [name, t, dtype] of [
    ["lengths", lengths, "i32"],
    ["starts", starts, "i32"],
    ["blocks", blocks, "i32"],
    ["slopes", slopes, "f32"],
  ] as const) {
    if (t !== undefined && t.dtype !== dtype)
      throw new DtypeError(`${op}: ${name} must be ${dtype}; got ${t.dtype}`);
  }
  if (slopes !== undefined && isRecording([slopes]))
    throw new TrainformerError("ERR_GRADIENT", `${op}: slopes have no gradient; detach() them`);
  if (window !== undefined) checkInteger(`${op}: window`, window, 1);
  if ((blocks === undefined) !== (blockSize === undefined)) {
    throw new ArgumentError(
      `${op}: blocks and blockSize must be given together; got ${blocks ? "blocks" : "blockSize"} alone`,
    );
  }
  if (blocks !== undefined)
    checkBlocks(op, blocks, checkInteger(`${op}: blockSize`, blockSize, 1, 2 ** 28), T, S);
  if (bias !== undefined) checkBias(op, bias, [B, H, T, S]);
  const scale = checkNumber(`${op}: scale`, options.scale ?? 1 / Math.sqrt(D || 1));
  return {
    ...{ lengths, starts, slopes, blocks, scale },
    blockSize: blockSize ?? 0,
    causal: options.causal ?? false,
    window: window ?? 0,
  };
}

function checkBlocks(op: string, blocks: Tensor, n: number, T: number, S: number): void {
  const expected = showShape([Math.ceil(T / n), Math.ceil(S / n)]);
  if (showShape(blocks.shape) === expected) return;
  throw new ShapeError(
    `${op}: blocks must be [⌈T/n⌉, ⌈S/n⌉] = ${expected} with n = blockSize = ${n}, T = ${T}, S = ${S}; got ${showShape(blocks.shape)}`,
  );
}

function checkBias(op: string, bias: Tensor, scores: readonly number[]): void {
  if (bias.dtype === "i32") throw new DtypeError(`${op}: bias must be f32 or bf16; got i32`);
  const missing = scores.length - bias.rank;
  if (missing >= 0 && bias.shape.every((n, i) => n === 1 || n === scores[i + missing])) return;
  throw new ShapeError(
    `${op}: bias must broadcast to [B, H, T, S] = ${showShape(scores)}; got ${showShape(bias.shape)}`,
  );
}
