import path from "node:path";
import { ArgumentError, CheckpointError } from "../errors.ts";
import { exists } from "../io/files.ts";
import { readJSON, Settings } from "../io/json.ts";
import { Module } from "../nn/module.ts";
import { l2Normalize, meanPooling } from "../nn/pooling.ts";
import { type Tensor, tensor } from "../tensor.ts";
import { Bert, type BertConfig, firstOf } from "./bert.ts";
import { evaluating } from "./evaluating.ts";
import { padded, valuesOf } from "./rows.ts";

export interface SentenceEncoderOptions {
  /** The mean of the states that count, or the state of the first token. Default "mean". */
  pooling?: "mean" | "cls";
  /** Whether vectors have length 1, so that their product is the cosine. Default true. */
  normalize?: boolean;
}

/**
 * Vectors of sentences, such that those of like meaning lie near to each other: an encoder of the BERT family and the
 * mean of its states.
 *
 * @see Reimers & Gurevych 2019, "Sentence-BERT"
 */
export class SentenceEncoder extends Module<[ids: Tensor, lengths?: Tensor], Tensor> {
  bert: Bert;
  readonly pooling: "mean" | "cls";
  readonly normalize: boolean;

  constructor(bert: Bert, { pooling = "mean", normalize = true }: SentenceEncoderOptions = {}) {
    super();
    if (pooling !== "mean" && pooling !== "cls") {
      throw new ArgumentError(`SentenceEncoder: pooling must be mean or cls; got ${String(pooling)}`);
    }
    this.bert = bert;
    this.pooling = pooling;
    this.normalize = normalize;
  }

  /** `[B, T]` i32, of which `lengths[b]` count, → `[B, C]` */
  forward(ids: Tensor, lengths?: Tensor): Tensor {
    const { lastHiddenState: x } = this.bert(ids, { lengths });
    const pooled = this.pooling === "mean" ? meanPooling(x, lengths) : firstOf(x);
    return this.normalize ? l2Normalize(pooled) : pooled;
  }

  /** The vectors of texts, `[B, C]` f32 row-major. Texts that are longer than the model's context are cut. */
  async encode(
    texts: readonly string[],
    options: { tokenizer: { encode(text: string): ArrayLike<number> }; batchSize?: number },
  ): Promise<Float32Array> {
    const { tokenizer, batchSize = 32 } = options;
    const { hiddenSize, contextLength } = this.bert.config;
    const vectors = new Float32Array(texts.length * hiddenSize);
    for (let first = 0; first < texts.length; first += batchSize) {
      const rows = texts
        .slice(first, first + batchSize)
        .map((text) => Int32Array.from(tokenizer.encode(text)).subarray(0, contextLength));
      const y = evaluating(this, () => {
        const lengths = tensor(
          rows.map((row) => row.length),
          [rows.length],
          { device: this.device, dtype: "i32" },
        );
        return this(padded(rows, this.device), lengths);
      });
      vectors.set(await valuesOf(y), first * hiddenSize);
    }
    return vectors;
  }

  /**
   * Reads a folder of sentence-transformers: the encoder, and how its states become a vector (`modules.json`,
   * `1_Pooling/config.json`). A folder without these has mean pooling and vectors as they come.
   *
   * @throws ERR_CHECKPOINT
   */
  static async fromPretrained(
    folder: string,
    { dtype, ...options }: SentenceEncoderOptions & Pick<BertConfig, "dtype"> = {},
  ): Promise<SentenceEncoder> {
    const bert = await Bert.fromPretrained(folder, dtype ? { dtype } : {});
    return new SentenceEncoder(bert, { ...(await storedOptions(folder)), ...options });
  }
}

async function storedOptions(folder: string): Promise<SentenceEncoderOptions> {
  const list = path.join(folder, "modules.json");
  if (!(await exists(list))) return { normalize: false };
  const modules = (await readJSON(list)) as { type?: unknown }[];
  const types = Array.isArray(modules) ? modules.map((module) => String(module?.type).split(".").at(-1)) : [];
  const known = ["Transformer", "Pooling", "Normalize"];
  if (types.length === 0 || types.some((type) => !known.includes(type!))) {
    throw new CheckpointError(
      `${list}: modules must be of ${known.join(", ")}; got ${types.join(", ") || "none"}`,
    );
  }
  return { pooling: await storedPooling(folder), normalize: types.includes("Normalize") };
}

async function storedPooling(folder: string): Promise<"mean" | "cls"> {
  const file = path.join(folder, "1_Pooling", "config.json");
  const settings = await Settings.read(file);
  const table = { mean: "mean", cls: "cls" } as const;
  if (settings.has("pooling_mode")) return settings.oneOf<"mean" | "cls">("pooling_mode", table);
  const modes = Object.keys(settings.values).filter(
    (key) => key.startsWith("pooling_mode_") && settings.values[key] === true,
  );
  if (modes.length === 1 && modes[0] === "pooling_mode_mean_tokens") return "mean";
  if (modes.length === 1 && modes[0] === "pooling_mode_cls_token") return "cls";
  throw new CheckpointError(
    `${file}: the pooling mode must be that of the mean or of the first token; got ${modes.join(", ") || "none"}`,
  );
}
