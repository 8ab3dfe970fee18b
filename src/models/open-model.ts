import path from "node:path";
import { type Checkpoint, openCheckpoint } from "../io/checkpoint.ts";
import { openGGUF } from "../io/gguf.ts";
import { Settings } from "../io/json.ts";
import { fromGGUF } from "./gguf-format.ts";

/** The configuration alone. @throws ERR_CHECKPOINT */
export async function readConfig(location: string): Promise<Settings> {
  return location.endsWith(".gguf")
    ? (await openModel(location)).config
    : Settings.read(path.join(location, "config.json"));
}

/**
 * The configuration and the tensors of a model: of a folder with `config.json`, or of a GGUF file.
 *
 * @throws ERR_CHECKPOINT
 */
export async function openModel(location: string): Promise<{ config: Settings; checkpoint: Checkpoint }> {
  if (location.endsWith(".gguf")) {
    const { config, checkpoint } = fromGGUF(await openGGUF(location));
    return { config: new Settings(config, location), checkpoint };
  }
  return { config: await readConfig(location), checkpoint: await openCheckpoint(location) };
}
