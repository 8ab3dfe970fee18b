import { ArgumentError, checkInteger, checkNumber, DataError } from "../errors.ts";
import { exampleRandom } from "./example-random.ts";

/** Translates texts, one for one: by a model's `generate`, or by a service. */
export type Translate = (texts: string[]) => Promise<readonly string[]>;

export interface BackTranslationOptions {
  /** Into another language. */
  translate: Translate;
  /** And back. */
  translateBack: Translate;
  /** Of a text to be translated there and back. Default 0.5. */
  probability?: number;
  /** Integer from 0 to 2⁵³ - 1. */
  seed: number;
}

/**
 * Says texts in other words by translating them into another language and back; their labels stay.
 *
 * ```ts
 * const rephrase = backTranslation({
 *   translate: async (texts) => (await toFrench.generate(texts, { tokenizer, doSample: true })).texts,
 *   translateBack: async (texts) => (await toEnglish.generate(texts, { tokenizer: back })).texts,
 *   seed: 1,
 * });
 * const texts = await rephrase(batch, { indices, epoch });
 * ```
 *
 * Which texts are translated is a pure function of the seed, the epoch and their indices; those of a call are translated
 * at once, and the others are returned as they are.
 *
 * @throws ERR_ARGUMENT on a bad option; ERR_DATA if there is not a translation for each text; what `translate` throws
 * @see Sennrich et al. 2016, "Improving Neural Machine Translation Models with Monolingual Data"; Xie et al. 2020,
 *   "Unsupervised Data Augmentation for Consistency Training"
 */
export function backTranslation({
  translate,
  translateBack,
  probability = 0.5,
  seed,
}: BackTranslationOptions): (
  texts: readonly string[],
  examples: { indices: ArrayLike<number>; epoch: number },
) => Promise<string[]> {
  const name = "backTranslation";
  for (const [option, value] of Object.entries({ translate, translateBack })) {
    if (typeof value !== "function") {
      throw new ArgumentError(`${name}: ${option} must be a function; got ${String(value)}`);
    }
  }
  checkNumber(`${name}: probability`, probability, 0, 1);
  checkInteger(`${name}: seed`, seed, 0);
  const checked = async (option: string, by: Translate, texts: string[]): Promise<readonly string[]> => {
    const translated = await by(texts);
    if (Array.isArray(translated) && translated.length === texts.length) {
      const wrong = translated.findIndex((text) => typeof text !== "string");
      if (wrong < 0) return translated;
      throw new DataError(
        `${name}: ${option} must give texts; got ${String(translated[wrong])} at index ${wrong}`,
      );
    }
    const came = Array.isArray(translated) ? translated.length : String(translated);
    throw new DataError(`${name}: ${option} must give ${texts.length} texts, one for each; got ${came}`);
  };
  return async (texts, { indices, epoch }) => {
    if (!Array.isArray(texts) || texts.length !== indices?.length) {
      throw new ArgumentError(
        `${name}: indices must be as many as texts, ${texts?.length}; got ${String(indices?.length)}`,
      );
    }
    const chosen = Array.from(texts.keys()).filter(
      (i) => exampleRandom("back-translation", seed, epoch, indices[i]!).uniform() < probability,
    );
    const result = [...texts];
    if (chosen.length === 0) return result;
    const there = await checked(
      "translate",
      translate,
      chosen.map((i) => texts[i]!),
    );
    const back = await checked("translateBack", translateBack, [...there]);
    chosen.forEach((i, n) => (result[i] = back[n]!));
    return result;
  };
}
