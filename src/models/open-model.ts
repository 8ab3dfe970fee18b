import path from "node:path";
import { type Checkpoint, openCheckpoint } from "../io/checkpoint.ts";
import { openGGUF } from "../io/gguf.ts";
import { Settings } from "../io/json.ts";
import { fromGGUF } from "./gguf-format.ts";

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
  const config = await Settings.read(path.join(location, "config.json"));
  return { config, checkpoint: await openCheckpoint(location) };
}
