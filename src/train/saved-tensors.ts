import path from "node:path";
import type { DtypeArray } from "../dtype.ts";
import { CheckpointError } from "../errors.ts";
import { openCheckpoint } from "../io/checkpoint.ts";
import { exists } from "../io/files.ts";
import { readSafetensors, type StoredTensor, writeSafetensors } from "../io/safetensors.ts";
import { writeCheckpoint } from "../io/shards.ts";
import { loadCheckpoint } from "../models/layout.ts";
import { PreTrainedModel } from "../models/pretrained.ts";
import type { AnyModule } from "../nn/module.ts";
import type { OptimizerState } from "../optim/optimizer.ts";
import { type Tensor, tensor } from "../tensor.ts";

/** @param read how: `data` of a parameter would make its products slower, as JavaScript could write to it */
async function stored(
  tensors: Iterable<readonly [string, Tensor]>,
  read: (t: Tensor) => Promise<DtypeArray>,
): Promise<[string, StoredTensor][]> {
  const all: [string, StoredTensor][] = [];
  for (const [name, t] of tensors) {
    all.push([name, { dtype: t.dtype, shape: [...t.shape], data: await read(t) }]);
  }
  return all;
}

const copyOf = (t: Tensor): Promise<DtypeArray> => (t.dtype === "bf16" ? t.data() : t.toTypedArray());

/** What can be saved with a model. */
export interface SavedTokenizer {
  save(folder: string): Promise<void>;
}

/** The model as Hugging Face reads it where it is one of theirs, else `model.safetensors` with our names. */
export async function saveModel(folder: string, model: AnyModule, tokenizer?: SavedTokenizer): Promise<void> {
  if (model instanceof PreTrainedModel) {
    await model.savePretrained(folder, tokenizer ? { tokenizer } : {});
    return;
  }
  await writeCheckpoint(folder, await stored(model.stateDict(), copyOf));
  await tokenizer?.save(folder);
}

/**
 * Copies the weights that `saveModel` wrote into the model.
 *
 * @throws ERR_CHECKPOINT on weights of another model
 */
export async function loadModel(folder: string, model: AnyModule): Promise<void> {
  const checkpoint = await openCheckpoint(folder, { map: false });
  if (model instanceof PreTrainedModel) {
    const { initialized } = loadCheckpoint(model, checkpoint, model.layout());
    if (initialized.length === 0) return;
    throw new CheckpointError(
      `${folder}: must hold all weights of the model; got none for ${initialized.join(", ")}`,
    );
  }
  const entries = [...checkpoint.names()].map((name) => [name, asTensor(checkpoint.get(name))] as const);
  model.loadStateDict(new Map(entries));
}

const asTensor = ({ data, shape }: StoredTensor): Tensor => tensor(data, shape, { device: "cpu" });

/** A state of tensors and JSON, in one file. */
export async function saveTensors(file: string, { tensors, values }: OptimizerState): Promise<void> {
  const views = await stored(tensors, (t) => t.data());
  await writeSafetensors(file, views, { values: JSON.stringify(values) });
}

/** @throws ERR_CHECKPOINT if there is none, or another file */
export async function loadTensors(file: string): Promise<OptimizerState> {
  if (!(await exists(file))) {
    throw new CheckpointError(
      `${path.dirname(file)}: must hold ${path.basename(file)} to be resumed; it has none: was it saved with saveOnlyModel, or with other options?`,
    );
  }
  const { tensors, metadata } = await readSafetensors(file, { map: false });
  let values: unknown;
  try {
    values = JSON.parse(metadata.values ?? "");
  } catch (cause) {
    throw new CheckpointError(`${file}: metadata must hold values as JSON`, { cause });
  }
  const entries = [...tensors].map(([name, t]) => [name, asTensor(t)] as const);
  return { tensors: new Map(entries), values: values as Record<string, unknown> };
}
