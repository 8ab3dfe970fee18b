import { Bart, type BartConfig } from "./bart.ts";
import { fromBartConfig, logitsBiasName } from "./bart-format.ts";
import { fillBuffer } from "./layout.ts";
import { loadPretrained } from "./pretrained.ts";

export interface TransformerConfig
  extends Omit<BartConfig, "modelType" | "scaleEmbedding" | "initializerRange" | "embeddingStd"> {}

/**
 * The original Transformer: an encoder and a decoder with normalization after each part of a layer, ReLU, sinusoidal
 * positions and embeddings times √hiddenSize, to be trained from nothing. Its base model has numLayers 6, numHeads 8,
 * hiddenSize 512 and, in training, `labelSmoothing: 0.1`.
 *
 * Sines and cosines are in halves, as in the authors' own code; the paper has them by turns. That is another order of
 * the channels, of which no result depends. Files are those of Hugging Face's MarianMTModel, which computes the same.
 *
 * @see Vaswani et al. 2017, "Attention Is All You Need"
 */
export class Transformer extends Bart {
  constructor(config: TransformerConfig) {
    super({
      activation: "relu",
      ...config,
      modelType: "marian",
      scaleEmbedding: true,
      initializerRange: undefined,
      embeddingStd: config.hiddenSize ** -0.5, // so that embeddings and positions are of one size
    });
  }

  /**
   * Reads what `savePretrained`, or Hugging Face for a Marian that multiplies its embeddings by √hiddenSize, has written.
   *
   * @param options.dtype in which the model computes; see GPTConfig. Default "f32"
   * @throws ERR_CHECKPOINT
   */
  static override fromPretrained(
    folder: string,
    options: Pick<BartConfig, "dtype"> = {},
  ): Promise<Transformer> {
    return loadPretrained(folder, (settings, checkpoint) => {
      const { modelType, scaleEmbedding, ...config } = fromBartConfig(settings);
      if (modelType !== "marian") settings.fail("model_type", "marian");
      if (!scaleEmbedding) settings.fail("scale_embedding", "true");
      const model = new Transformer({ ...config, ...options });
      fillBuffer(model.logitsBias, logitsBiasName, checkpoint);
      return model;
    });
  }
}
