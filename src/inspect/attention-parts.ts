import type { Attention } from "../nn/attention.ts";
import type { Anatomy } from "./anatomy.ts";

/** An attention of a layer. */
export interface AttentionPart {
  /** `layer.2.attn`, `decoder.layer.1.cross` */
  readonly part: string;
  readonly layer: number;
  readonly heads: number;
  readonly kind: "self" | "cross";
  /** Which tokens the queries and the keys are. */
  readonly of: "tokens" | "source";
  readonly from: "tokens" | "source";
  readonly causal: boolean;
  readonly attention: Attention<never[]>;
}

/** All of a model, in the order in which they run. */
export const attentionsOf = ({ bodies }: Anatomy): AttentionPart[] =>
  bodies.flatMap(({ body, blocks, reads }) =>
    blocks.flatMap(({ attention, crossAttention }, i): AttentionPart[] => {
      const layer = i + 1;
      const self: AttentionPart = {
        ...{ part: `${body}layer.${layer}.attn`, layer, kind: "self", of: reads, from: reads },
        ...{ heads: attention.numHeads, causal: attention.causal, attention },
      };
      if (!crossAttention) return [self];
      const cross: AttentionPart = {
        ...{ part: `${body}layer.${layer}.cross`, layer, kind: "cross", of: reads, from: "source" },
        ...{ heads: crossAttention.numHeads, causal: false, attention: crossAttention },
      };
      return [self, cross];
    }),
  );
