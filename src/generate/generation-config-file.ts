import { CheckpointError } from "../errors.ts";
import { snakeCase } from "../letter-case.ts";
import { type GenerationConfig, generationFields, resolveConfig } from "./generation-config.ts";

/** numReturnSequences → num_return_sequences */

/** What other libraries can do and would change what comes out here, and the values that switch it off. */
const unsupported: Record<string, readonly unknown[]> = {
  guidance_scale: [1],
  penalty_alpha: [0],
  dola_layers: [],
  constraints: [],
  force_words_ids: [],
  watermarking_config: [],
  token_healing: [false],
};

/**
 * What a `generation_config.json` says. Fields that are null are left out, and so are those that say how a library
 * computes (caches, assistants) or that belong to a kind of model.
 *
 * @param source what errors call it
 * @throws CheckpointError on a value out of its range and on a field whose effect does not exist here
 */
export function generationConfigFromJSON(json: unknown, source = "generation_config.json"): GenerationConfig {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new CheckpointError(`${source}: must be an object; got ${JSON.stringify(json)}`);
  }
  const file = json as Record<string, unknown>;
  for (const [name, neutral] of Object.entries(unsupported)) {
    const value = file[name] ?? undefined;
    if (value !== undefined && !neutral.includes(value)) {
      throw new CheckpointError(`${source}: ${name} is not supported; got ${JSON.stringify(value)}`);
    }
  }
  const entries = generationFields.flatMap((key) => {
    const value = file[snakeCase(key)] ?? undefined;
    const isNone = value === undefined || (key === "padTokenId" && value === -1); // as old checkpoints say it
    return isNone ? [] : [[key, value] as const];
  });
  const config = Object.fromEntries(entries) as GenerationConfig;
  try {
    resolveConfig(source, {}, config);
  } catch (cause) {
    throw new CheckpointError((cause as Error).message, { cause });
  }
  return config;
}

/** The content of a `generation_config.json` that says the same. */
export function generationConfigToJSON(config: GenerationConfig): Record<string, unknown> {
  const set = generationFields.filter((key) => config[key] !== undefined && config[key] !== null);
  return Object.fromEntries(set.map((key) => [snakeCase(key), config[key]]));
}
