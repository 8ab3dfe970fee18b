import { checkNumber } from "../errors.ts";

/**
 * `e^loss`: among how many equally likely tokens a model would be as uncertain.
 *
 * @param loss mean over the tokens, in nats
 * @throws ERR_ARGUMENT on what is no number of at least 0
 */
export function perplexity(loss: number): number {
  return Math.exp(checkNumber("perplexity: loss", loss, 0));
}

/**
 * Bits that a model needs for each character, which says the same for every tokenizer: `loss · tokens / characters / ln 2`.
 *
 * @param loss mean over the tokens, in nats
 * @param size.tokens     that the loss is the mean of
 * @param size.characters of the text that they are; how they are counted, in code points or otherwise, is the caller's
 * @throws ERR_ARGUMENT on what is no such number
 */
export function bitsPerCharacter(loss: number, size: { tokens: number; characters: number }): number {
  return bits("bitsPerCharacter", loss, size.tokens, "characters", size.characters);
}

/**
 * Bits that a model needs for each byte of UTF-8, which says the same for every tokenizer: `loss · tokens / bytes / ln 2`.
 *
 * @param loss mean over the tokens, in nats
 * @param size.tokens that the loss is the mean of
 * @param size.bytes  of the text that they are
 * @throws ERR_ARGUMENT on what is no such number
 */
export function bitsPerByte(loss: number, size: { tokens: number; bytes: number }): number {
  return bits("bitsPerByte", loss, size.tokens, "bytes", size.bytes);
}

function bits(name: string, loss: number, tokens: number, unit: string, count: number): number {
  checkNumber(`${name}: loss`, loss, 0);
  checkNumber(`${name}: tokens`, tokens, 1);
  checkNumber(`${name}: ${unit}`, count, 1);
  return (loss * tokens) / count / Math.LN2;
}
