import { ArgumentError } from "../errors.ts";
import type { GenerationTokenizer, GenerativeModel } from "../generate/decoding.ts";
import { generate } from "../generate/generate.ts";
import type { GenerationConfig } from "../generate/generation-config.ts";
import type { EvaluatedTexts } from "../metrics/metric.ts";
import type { AnyModule } from "../nn/module.ts";
import { Tensor } from "../tensor.ts";
import type { Batch } from "./data-source.ts";
import { inputOf, labelsOf } from "./prepared-batch.ts";

export interface TextOptions {
  tokenizer: GenerationTokenizer;
  config: GenerationConfig;
}

/** The ids of each row that count: those before its padding, by `lengths` or by -100. */
async function rowsOf(ids: Tensor, lengths?: unknown): Promise<Int32Array[]> {
  const [B, T] = ids.shape as [number, number];
  const all = (await ids.toTypedArray()) as Int32Array;
  const counts = lengths instanceof Tensor ? await lengths.toTypedArray() : undefined;
  return Array.from({ length: B }, (_, b) => {
    const row = all.subarray(b * T, b * T + (counts?.[b] ?? T));
    return row.filter((id) => id !== -100);
  });
}

/**
 * What an encoder–decoder model writes for the inputs of a batch, and the texts of its labels.
 *
 * @throws ERR_ARGUMENT without a tokenizer or `predictWithGenerate`, and for a model of another kind
 */
export async function generatedTexts(
  model: AnyModule,
  batch: Batch,
  options: TextOptions | undefined,
  signal: AbortSignal | undefined,
): Promise<EvaluatedTexts & { references: string[] }> {
  if (options === undefined) {
    throw new ArgumentError(
      "Trainer: a metric of texts needs predictWithGenerate: true and a tokenizer; got neither or one",
    );
  }
  const [inputs, labels] = [inputOf(batch), labelsOf(batch)];
  const isGenerative = (model as unknown as Partial<GenerativeModel>).isEncoderDecoder === true;
  if (!isGenerative || !(inputs instanceof Tensor) || labels === undefined) {
    throw new ArgumentError(
      `Trainer: predictWithGenerate needs an encoder–decoder model and batches with inputIds and labels; got ${model.constructor.name}`,
    );
  }
  const { tokenizer, config } = options;
  const { lengths } = batch as Readonly<Record<string, unknown>>;
  const rows = await rowsOf(inputs, lengths);
  const generating = { ...config, tokenizer, ...(signal && { signal }) };
  const { texts } = await generate(model as unknown as GenerativeModel, rows, generating);
  const references = (await rowsOf(labels)).map((row) => tokenizer.decode(row, { skipSpecialTokens: true }));
  return { predictions: texts, references };
}
