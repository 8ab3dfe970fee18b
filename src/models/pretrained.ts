import { mkdir } from "node:fs/promises";
import path from "node:path";
import type { Checkpoint } from "../io/checkpoint.ts";
import { type Settings, writeJSON } from "../io/json.ts";
import type { StoredTensor } from "../io/safetensors.ts";
import { writeCheckpoint } from "../io/shards.ts";
import { Module, uninitialized } from "../nn/module.ts";
import { builtFrom } from "./config-errors.ts";
import { type Layout, loadCheckpoint, storedTensors } from "./layout.ts";
import { openModel } from "./open-model.ts";

export interface SaveOptions {
  /** Saved into the same folder. */
  tokenizer?: { save(folder: string): Promise<void> };
  /** Of one file with tensors, in bytes or as "5GB"; what is larger becomes several files. Default "50GB" */
  maxShardSize?: number | string;
}

/** A model that is read from and written to folders of Hugging Face: `config.json` and `model.safetensors`. */
export abstract class PreTrainedModel<A extends unknown[], R> extends Module<A, R> {
  /** `config.json` as Hugging Face's class of this model writes it. */
  abstract toHuggingFaceConfig(): Record<string, unknown>;
  /** Where the parameters lie in a checkpoint. */
  abstract layout(): Layout;

  /** @internal Reads what the folder says of the model beside its configuration and its weights. */
  async readSettings(_folder: string, _config: Settings): Promise<void> {}

  /** The tensors of a checkpoint, by their names there. */
  storedTensors(): AsyncGenerator<[string, StoredTensor]> {
    return storedTensors(this, this.layout());
  }

  /**
   * Writes `config.json` and `model.safetensors` as Hugging Face reads them, and the tokenizer's files if one is given.
   * Each file appears whole or not at all.
   */
  async savePretrained(
    folder: string,
    { tokenizer, maxShardSize = "50GB" }: SaveOptions = {},
  ): Promise<void> {
    await mkdir(folder, { recursive: true });
    await writeJSON(path.join(folder, "config.json"), this.toHuggingFaceConfig());
    await tokenizer?.save(folder);
    const tensors: [string, StoredTensor][] = [];
    for await (const entry of this.storedTensors()) tensors.push(entry);
    await writeCheckpoint(folder, tensors, { maxShardSize });
  }
}

/**
 * The model that `make` builds from the `config.json` of a folder, with the weights that lie there, or from a GGUF file.
 *
 * What the checkpoint lacks of the head of a task is initialized, and a warning says so; so it does of tensors that
 * have no place in this model.
 *
 * @throws ERR_CHECKPOINT
 */
export async function loadPretrained<M extends PreTrainedModel<never[], unknown>>(
  folder: string,
  make: (config: Settings, checkpoint: Checkpoint) => M,
): Promise<M> {
  const { config, checkpoint } = await openModel(folder);
  const model = builtFrom(config, checkpoint, () => uninitialized(() => make(config, checkpoint)));
  const { initialized, unused } = loadCheckpoint(model, checkpoint, model.layout());
  const warn = (names: string[], what: string, code: string) => {
    if (names.length === 0) return;
    const listed = names.length > 8 ? [...names.slice(0, 8), `and ${names.length - 8} more`] : names;
    process.emitWarning(`${folder}: ${what}: ${listed.join(", ")}`, { type: "TrainformerWarning", code });
  };
  await model.readSettings(folder, config);
  warn(initialized, "not in the checkpoint, so newly initialized and to be trained", "WARN_NEW_PARAMETERS");
  warn(unused, "in the checkpoint but not in this model", "WARN_UNUSED_TENSORS");
  return model;
}
