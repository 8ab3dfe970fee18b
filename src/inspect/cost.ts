import { noGrad } from "../autograd.ts";
import type { Device } from "../device.ts";
import { ArgumentError, checkNumber } from "../errors.ts";
import { scope } from "../memory.ts";
import type { TransformerBlock } from "../nn/transformer.ts";
import { zeros } from "../ops/creation.ts";
import { matmul } from "../ops/products.ts";
import type { Anatomy } from "./anatomy.ts";
import type { Inputs } from "./inputs.ts";
import { parseName } from "./names.ts";
import type { Plan } from "./plan.ts";
import type { TraceCost, TraceOptions } from "./types.ts";

export const defaultBudget = 256 * 2 ** 20;

/** Of the matrices of an attention or MLP, for one token, and with T queries and S keys. */
function flopsOfBlock(block: TransformerBlock, T: number, S: number): number {
  const { attention, crossAttention, mlp } = block;
  const matrices = [attention.qkv, attention.output, mlp.gate, mlp.up, mlp.down];
  const perToken = matrices.reduce((sum, map) => sum + 2 * (map?.weight.size ?? 0), 0);
  const pairs = (heads: number, size: number, keys: number) => 4 * heads * size * T * keys;
  const self = T * perToken + pairs(attention.numHeads, attention.headSize, T);
  if (crossAttention === undefined) return self;
  const { query, keyValue, output, numHeads, headSize } = crossAttention;
  return (
    self +
    2 * T * (query.weight.size + output.weight.size) +
    2 * S * keyValue.weight.size +
    pairs(numHeads, headSize, S)
  );
}

/** Of a forward pass as far as it goes. */
function flopsOf(
  anatomy: Anatomy,
  { tokens, source, batchSize }: Inputs,
  { stopAfter, messages }: Plan,
): number {
  const last = stopAfter === undefined ? undefined : parseName(stopAfter);
  const T = tokens.length;
  const S = source?.length ?? 0;
  let flops = messages.has("logits") ? 2 * T * anatomy.hiddenSize * (anatomy.unembedding?.size ?? 0) : 0;
  for (const { body, blocks, reads } of anatomy.bodies) {
    const isLast = last?.body === body && last.layer > 0;
    const isBefore = last !== undefined && !isLast && !messages.has(`${body}layer.1.in`);
    const run = isBefore ? 0 : isLast ? last.layer : blocks.length;
    for (const block of blocks.slice(0, run)) flops += flopsOfBlock(block, reads === "source" ? S : T, S);
  }
  return batchSize * flops;
}

const size = 256;
const rates = new Map<Device, number>();

/** Floating-point operations a second of a product of 256 × 256, the best of three. */
function rateOf(device: Device): number {
  let rate = rates.get(device);
  if (rate === undefined) {
    const once = () =>
      scope(() =>
        noGrad(() => {
          const a = zeros([size, size], { device });
          a.toTypedArraySync();
          const begin = performance.now();
          matmul(a, a).toTypedArraySync();
          return performance.now() - begin;
        }),
      );
    rate = (2 * size ** 3) / (1e-3 * Math.max(1e-3, Math.min(once(), once(), once())));
    rates.set(device, rate);
  }
  return rate;
}

const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MB`;

/** What a plan will take. */
export function costOf(anatomy: Anatomy, inputs: Inputs, plan: Plan): TraceCost {
  const { dtype = "f32" } = (anatomy.model as { config?: { dtype?: string } }).config ?? {};
  const copies = plan.gradients ? 2 : 1;
  const parts = [...plan.kept].map((kept) => {
    const { name, shape } = plan.messages.get(kept)!;
    const bytesEach = dtype === "bf16" && !name.endsWith(".scores") ? 2 : 4;
    const elements = inputs.batchSize * shape.reduce((product, n) => product * n, 1);
    return { name, shape, bytes: copies * bytesEach * elements };
  });
  const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
  const flops = flopsOf(anatomy, inputs, plan) * (plan.gradients ? 2 : 1);
  return {
    ...{ bytes, flops, parts },
    get seconds() {
      return flops / rateOf(anatomy.model.device);
    },
    toString() {
      const largest = [...parts].sort((a, b) => b.bytes - a.bytes).slice(0, 4);
      const times = [...(inputs.batchSize > 1 ? [inputs.batchSize] : []), ...(copies > 1 ? [copies] : [])];
      const lines = largest.map(
        (part) =>
          `${part.name} [${part.shape.join(" × ")}]${times.map((n) => ` × ${n}`).join("")}: ${megabytes(part.bytes)}`,
      );
      const rest = parts.length > 4 ? `, and ${parts.length - 4} more` : "";
      return `${parts.length} messages of ${megabytes(bytes)} (${lines.join("; ")}${rest}), ${(flops / 1e9).toFixed(2)} GFLOP`;
    },
  };
}

/** @throws ERR_ARGUMENT, with the arithmetic, if it is more than the budget */
export function checkBudget(
  cost: TraceCost,
  { bytes = defaultBudget, seconds }: NonNullable<TraceOptions["budget"]> = {},
): void {
  checkNumber("trace: budget.bytes", bytes, 0);
  if (cost.bytes > bytes) {
    throw new ArgumentError(
      `trace: what is kept must fit into budget.bytes, ${megabytes(bytes)}; got ${cost}. Keep fewer messages or raise the budget`,
    );
  }
  if (seconds === undefined) return;
  checkNumber("trace: budget.seconds", seconds, 0);
  if (cost.seconds > seconds) {
    throw new ArgumentError(
      `trace: the run must take at most budget.seconds, ${seconds}; got ${(cost.flops / 1e9).toFixed(2)} GFLOP at ${(cost.flops / cost.seconds / 1e9).toFixed(0)} GFLOP/s: ${cost.seconds.toFixed(2)}`,
    );
  }
}
