import path from "node:path";
import type { Decoding, GenerationTokenizer, GenerativeModel, Rows } from "../generate/decoding.ts";
import { type GenerateResult, generate } from "../generate/generate.ts";
import type { GenerationConfig } from "../generate/generation-config.ts";
import { generationConfigFromJSON, generationConfigToJSON } from "../generate/generation-config-file.ts";
import type { GenerateInputs, GenerateOptions } from "../generate/plan.ts";
import { type StreamOptions, stream } from "../generate/stream.ts";
import { exists } from "../io/files.ts";
import { readJSON, type Settings, writeJSON } from "../io/json.ts";
import { PreTrainedModel, type SaveOptions } from "./pretrained.ts";

/** A model that writes token by token. */
export abstract class GenerativePreTrainedModel<A extends unknown[], R>
  extends PreTrainedModel<A, R>
  implements GenerativeModel
{
  /** How it generates where a call does not say: `generation_config.json`. */
  generationConfig: GenerationConfig = {};
  abstract readonly isEncoderDecoder: boolean;

  abstract startDecoding(options: { batchSize: number; capacity: number; inputs?: Rows }): Decoding;

  /** Goes on from one prompt or many: see the function `generate`. */
  generate(
    inputs: GenerateInputs,
    options: GenerateOptions & { tokenizer: GenerationTokenizer },
  ): Promise<GenerateResult & { texts: string[] }>;
  generate(inputs: GenerateInputs, options?: GenerateOptions): Promise<GenerateResult>;
  generate(inputs: GenerateInputs, options: GenerateOptions = {}): Promise<GenerateResult> {
    return generate(this, inputs, options);
  }

  /** Goes on from one prompt and gives what is new as soon as it is certain: see the function `stream`. */
  stream(
    prompt: string | ArrayLike<number>,
    options: StreamOptions & { tokenizer: GenerationTokenizer },
  ): AsyncGenerator<string, void>;
  stream(
    prompt: ArrayLike<number>,
    options?: StreamOptions & { tokenizer?: undefined },
  ): AsyncGenerator<number, void>;
  stream(prompt: never, options: never): AsyncGenerator<string | number, void> {
    return stream(this, prompt, options);
  }

  /** @internal `generation_config.json`, or in older folders what `config.json` says of generation, over the model's own. */
  override async readSettings(folder: string, config: Settings): Promise<void> {
    const file = path.join(folder, "generation_config.json");
    this.generationConfig = (await exists(file))
      ? generationConfigFromJSON(await readJSON(file), file)
      : { ...this.generationConfig, ...generationConfigFromJSON(config.values, config.source) };
  }

  /** Also writes `generation_config.json`, if there is anything to say in it. */
  override async savePretrained(folder: string, options: SaveOptions = {}): Promise<void> {
    await super.savePretrained(folder, options);
    const config = generationConfigToJSON(this.generationConfig);
    if (Object.keys(config).length === 0) return;
    await writeJSON(path.join(folder, "generation_config.json"), config);
  }

  /** The special tokens that a `config.json` names. */
  protected specialTokens(): Record<string, unknown> {
    const { bosTokenId = null, eosTokenId = null, padTokenId = null } = this.generationConfig;
    return { bos_token_id: bosTokenId, eos_token_id: eosTokenId, pad_token_id: padTokenId };
  }
}
