import { ArgumentError, TrainformerError } from "../errors.ts";
import { multipliesBf16, settings } from "../native.ts";
import { Embedding } from "../nn/layers.ts";
import type { AnyModule } from "../nn/module.ts";

function* embeddingsIn(module: AnyModule): Generator<Embedding> {
  for (const [, child] of module.children()) {
    if (child instanceof Embedding) yield child;
    else yield* embeddingsIn(child);
  }
}

/**
 * Makes a model compute in bf16: its embeddings give bf16, and what follows computes in the dtype of what it gets.
 * Parameters, gradients, sums and the loss stay f32. Nothing is changed back: it is a property of the model.
 *
 * @param wanted true throws where the hardware has no products of bf16; "auto" leaves the model as it is there
 * @throws ERR_NO_DEVICE; ERR_ARGUMENT for a model without embeddings
 */
export function useBf16(model: AnyModule, wanted: boolean | "auto"): void {
  if (wanted === false) return;
  if (model.device === "cpu" && !multipliesBf16()) {
    if (wanted === "auto") return;
    throw new TrainformerError(
      "ERR_NO_DEVICE",
      `Trainer: bf16: true needs a processor with products of bf16 (AVX-512 BF16, AMX or a GPU); got ${settings.isa}. "auto" trains in f32 where there are none`,
    );
  }
  const embeddings = [...embeddingsIn(model)];
  if (embeddings.length === 0) {
    throw new ArgumentError(
      `Trainer: bf16 needs a model that begins with an Embedding; got ${model.constructor.name}. Cast its input to bf16`,
    );
  }
  for (const embedding of embeddings) Object.assign(embedding, { dtype: "bf16" });
  const { config } = model as { config?: { dtype?: unknown } };
  if (config?.dtype === "f32") config.dtype = "bf16";
}
