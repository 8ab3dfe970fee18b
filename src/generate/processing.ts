import { ArgumentError } from "../errors.ts";
import type { LogitsProcessor } from "./decoding.ts";
import type { ResolvedConfig } from "./generation-config.ts";
import * as processors from "./logits-processors.ts";
import * as warpers from "./warpers.ts";

/**
 * All that changes scores before a token is chosen, in Hugging Face's order: what the options ask for, the caller's
 * own, then, for drawing only, what cuts the tail.
 *
 * @throws ArgumentError on an option that names a token outside the vocabulary
 */
export function processorsOf(
  config: ResolvedConfig,
  own: readonly LogitsProcessor[],
  vocabSize: number,
): LogitsProcessor[] {
  checkVocabulary(config, vocabSize);
  const eos = config.eosTokenIds;
  const hasEos = eos.length > 0;
  const list: (LogitsProcessor | false | null)[] = [
    config.sequenceBias && processors.sequenceBias(config.sequenceBias),
    config.diversityPenalty > 0 && processors.diversity(config.diversityPenalty),
    config.encoderRepetitionPenalty !== 1 && processors.encoderRepetition(config.encoderRepetitionPenalty),
    config.repetitionPenalty !== 1 && processors.repetition(config.repetitionPenalty),
    (config.presencePenalty !== 0 || config.frequencyPenalty !== 0) &&
      processors.occurrence(config.presencePenalty, config.frequencyPenalty),
    config.noRepeatNgramSize > 0 && processors.noRepeatNgram(config.noRepeatNgramSize),
    config.encoderNoRepeatNgramSize > 0 && processors.encoderNoRepeatNgram(config.encoderNoRepeatNgramSize),
    config.badWordsIds && processors.badWords(config.badWordsIds, eos),
    hasEos && config.minLength > 0 && processors.minLength(config.minLength, eos),
    hasEos && config.minNewTokens !== null && processors.minNewTokens(config.minNewTokens, eos),
    config.forcedBosTokenId !== null && processors.forcedBos(config.forcedBosTokenId),
    config.forcedEosTokenId !== null && processors.forcedEos([config.forcedEosTokenId].flat()),
    config.removeInvalidValues && processors.removeInvalid,
    config.exponentialDecayLengthPenalty &&
      processors.exponentialDecay(...config.exponentialDecayLengthPenalty, eos),
    config.suppressTokens && processors.suppress(config.suppressTokens),
    config.beginSuppressTokens &&
      processors.suppressAtBegin(config.beginSuppressTokens, config.forcedBosTokenId !== null),
    ...own,
    ...(config.doSample ? warpersOf(config) : []),
    config.renormalizeLogits && processors.renormalize,
  ];
  return list.filter((processor) => typeof processor === "function");
}

function warpersOf(config: ResolvedConfig): (LogitsProcessor | false)[] {
  const { topH, minP } = config;
  // A beam that can only end can't be continued: one token beside every end-of-sequence stays.
  const minKeep = config.numBeams > 1 ? Math.max(2, config.eosTokenIds.length + 1) : 1;
  const isOn = (threshold: number) => threshold > 0 && threshold < 1;
  return [
    config.temperature !== 1 && warpers.temperature(config.temperature),
    topH !== null && warpers.topH(topH),
    config.topK > 0 && warpers.topK(config.topK, minKeep),
    config.topP < 1 && warpers.topP(config.topP, minKeep),
    minP !== null && warpers.minP(minP, minKeep),
    config.typicalP < 1 && warpers.typicalP(config.typicalP, minKeep),
    isOn(config.epsilonCutoff) && warpers.epsilonCutoff(config.epsilonCutoff, minKeep),
    isOn(config.etaCutoff) && warpers.etaCutoff(config.etaCutoff, minKeep),
  ];
}

function checkVocabulary(config: ResolvedConfig, vocabSize: number): void {
  const named = {
    sequenceBias: config.sequenceBias?.flatMap(([ids]) => ids),
    badWordsIds: config.badWordsIds?.flat(),
    forcedBosTokenId: [config.forcedBosTokenId],
    forcedEosTokenId: [config.forcedEosTokenId].flat(),
    suppressTokens: config.suppressTokens,
    beginSuppressTokens: config.beginSuppressTokens,
    bosTokenId: [config.bosTokenId],
    eosTokenId: config.eosTokenIds,
    decoderStartTokenId: [config.decoderStartTokenId].flat(),
  };
  for (const [name, ids] of Object.entries(named)) {
    const id = ids?.find((id) => id !== null && id >= vocabSize);
    if (id !== undefined) {
      throw new ArgumentError(
        `generate: ${name} must be below the ${vocabSize} of the vocabulary; got ${id}`,
      );
    }
  }
}
