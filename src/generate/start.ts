import { ArgumentError, TrainformerError } from "../errors.ts";
import type { Decoding, LogitsProcessor, StoppingCriterion } from "./decoding.ts";
import type { Plan } from "./plan.ts";
import { processorsOf } from "./processing.ts";
import { stoppingOf } from "./stopping.ts";

/** A plan whose prompts have been processed. */
export interface Run extends Plan {
  readonly decoding: Decoding;
  /** f32 `[prompts, V]`: of the first token of each. */
  readonly logits: Float32Array;
  readonly processors: readonly LogitsProcessor[];
  readonly isComplete: StoppingCriterion;
}

/** Processes the prompts. Who gets the run disposes its `decoding`. */
export async function start(plan: Plan): Promise<Run> {
  const { config, options, prompts } = plan;
  options.signal?.throwIfAborted();
  const isComplete = stoppingOf(config, options.stoppingCriteria ?? [], options.tokenizer);
  const [decoding, shared] = open(plan);
  try {
    const { vocabSize } = decoding;
    const processors = processorsOf(config, options.logitsProcessors ?? [], vocabSize);
    for (const { ids, prompt } of prompts) {
      const at = ids.findIndex((id) => id >= vocabSize);
      if (at >= 0) {
        throw new TrainformerError(
          "ERR_INDEX",
          `generate: token ids must be below ${vocabSize}; got ${ids[at]} at index ${at} of prompt ${prompt}`,
        );
      }
    }
    const logits = await decoding.next(prompts.map(({ ids }) => ids.subarray(shared)));
    options.signal?.throwIfAborted();
    return { ...plan, decoding, logits, processors, isComplete };
  } catch (error) {
    decoding.dispose();
    throw error;
  }
}

/** The state to go on from, and how many tokens of each prompt it holds. */
function open({ model, options: { prefix }, prompts }: Plan): [Decoding, number] {
  const batchSize = prompts.length;
  const capacity = Math.max(...prompts.map(({ maxLength }) => maxLength));
  if (prefix !== undefined && prefix.model !== model) {
    throw new ArgumentError("generate: prefix must be of this model; got one of another");
  }
  const length = prefix?.sharedLength(prompts) ?? 0;
  if (prefix !== undefined && length > 0) return [prefix.fork({ batchSize, capacity, length }), length];
  const inputs = prompts.map(({ inputIds }) => inputIds);
  return [model.startDecoding({ batchSize, capacity, ...(model.isEncoderDecoder && { inputs }) }), 0];
}
