import type { TransformerBlock } from "../nn/transformer.ts";
import type { Anatomy } from "./anatomy.ts";
import type { MessageName } from "./names.ts";

/** A message that a model sends, and its shape without the axis of the batch. */
export interface MessageShape {
  readonly name: MessageName;
  readonly shape: readonly number[];
  /** The axes of positions (of queries) and of heads in `shape`; undefined where there is none. */
  readonly positions: number | undefined;
  readonly heads: number | undefined;
}

/** Tokens of the decoder, or of the only body, and of what an encoder reads beside it. */
export interface Lengths {
  readonly tokens: number;
  readonly source: number;
}

/** All messages of a model, in the order in which it sends them. */
export function messageShapes(anatomy: Anatomy, lengths: Lengths): MessageShape[] {
  const C = anatomy.hiddenSize;
  const all: MessageShape[] = [];
  for (const { body, blocks, embeds, hasFinalNorm, reads } of anatomy.bodies) {
    const T = lengths[reads];
    const vectors = { shape: [T, C], positions: 0, heads: undefined };
    all.push(...embeds.map((kind): MessageShape => ({ name: `${body}embed.${kind}`, ...vectors })));
    blocks.forEach((block, i) => {
      for (const { name, ...rest } of ofBlock(block, T, lengths.source, C))
        all.push({ name: `${body}layer.${i + 1}.${name}` as MessageName, ...rest });
    });
    if (hasFinalNorm) all.push({ name: `${body}final.norm`, ...vectors });
  }
  const logits = anatomy.logitsShape?.(lengths.tokens);
  if (logits) {
    all.push({
      name: "logits",
      shape: logits,
      positions: logits.length > 1 ? 0 : undefined,
      heads: undefined,
    });
  }
  return all;
}

interface PartShape extends Omit<MessageShape, "name"> {
  readonly name: string;
}

function ofBlock(block: TransformerBlock, T: number, S: number, C: number): PartShape[] {
  const vectors = (name: string, size = C): PartShape => ({
    ...{ name, shape: [T, size], positions: 0, heads: undefined },
  });
  const cross = block.crossAttention;
  return [
    vectors("in"),
    ...ofAttention("attn", block.attention, T, T, C),
    vectors("mid"),
    ...(cross ? [...ofAttention("cross", cross, T, S, C), vectors("cross.mid")] : []),
    vectors("mlp.hidden", block.mlp.down.weight.shape[1]!),
    vectors("mlp.out"),
    vectors("out"),
  ];
}

function ofAttention(
  part: "attn" | "cross",
  {
    numHeads: H,
    numKeyValueHeads: G,
    headSize: D,
    ...attention
  }: TransformerBlock["attention" | "crossAttention"] & object,
  T: number,
  S: number,
  C: number,
): PartShape[] {
  const isRotary = "rotary" in attention && attention.rotary !== undefined;
  const vectors = (name: string, length: number, heads: number, size: number): PartShape => ({
    ...{ name: `${part}.${name}`, shape: [length, heads, size], positions: 0, heads: 1 },
  });
  const pairs = (name: string): PartShape => ({
    ...{ name: `${part}.${name}`, shape: [H, T, S], positions: 1, heads: 0 },
  });
  return [
    ...(isRotary ? [vectors("q.unrotated", T, H, D), vectors("k.unrotated", S, G, D)] : []),
    vectors("q", T, H, D),
    vectors("k", S, G, D),
    vectors("v", S, G, D),
    pairs("scores"),
    pairs("weights"),
    vectors("heads", T, H, C),
    { name: `${part}.out`, shape: [T, C], positions: 0, heads: undefined },
  ];
}
