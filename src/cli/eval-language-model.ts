import { bitsPerByte, type CausalLM, DataError, perplexity, type TextTokenizer, tensor } from "../index.ts";
import { evaluating } from "../models/evaluating.ts";

export interface WindowOptions {
  /** Tokens that the model sees at once. */
  contextLength: number;
  /** Tokens by which a window moves on: those before have been counted, and are context. */
  stride: number;
  /** Windows at a time. */
  batchSize: number;
  signal: AbortSignal;
  onProgress(done: number, total: number): void;
}

/** From token `begin` on, `length` inputs, of whose targets all count but the first `known`. */
interface Window {
  begin: number;
  length: number;
  known: number;
}

/** Windows over `count` targets of which each counts once. */
function windowsOver(count: number, contextLength: number, stride: number): Window[] {
  const windows: Window[] = [];
  for (let begin = 0, end = 0; end < count; begin += stride) {
    const length = Math.min(contextLength, count - begin);
    windows.push({ begin, length, known: end - begin });
    end = begin + length;
  }
  return windows;
}

/**
 * Cross entropy of each token of a text but the first, given those before it that a window of the model holds.
 *
 * @returns the mean in nats, and of how many tokens
 */
export async function lossOfText(
  model: CausalLM,
  tokens: Int32Array,
  { contextLength, stride, batchSize, signal, onProgress }: WindowOptions,
): Promise<{ loss: number; tokens: number }> {
  const windows = windowsOver(tokens.length - 1, contextLength, stride);
  let [nats, counted] = [0, 0];
  for (let i = 0; i < windows.length; ) {
    signal.throwIfAborted();
    const { length } = windows[i]!;
    let batch = windows.slice(i, i + batchSize);
    batch = batch.filter((window) => window.length === length); // the last ones are shorter
    i += batch.length;
    const inputs = new Int32Array(batch.length * length);
    const targets = new Int32Array(batch.length * length).fill(-100);
    batch.forEach(({ begin, known }, b) => {
      inputs.set(tokens.subarray(begin, begin + length), b * length);
      targets.set(tokens.subarray(begin + known + 1, begin + length + 1), b * length + known);
    });
    const count = batch.reduce((sum, { known }) => sum + length - known, 0);
    const on = { device: model.device };
    const loss = evaluating(model, () => {
      const shape = [batch.length, length];
      return model(tensor(inputs, shape, on), { targets: tensor(targets, shape, on) }).loss!;
    });
    nats += (await loss.item()) * count;
    counted += count;
    loss.dispose();
    onProgress(counted, tokens.length - 1);
  }
  return { loss: nats / counted, tokens: counted };
}

/** What is reported of a text: the loss in nats a token, and what follows from it. */
export async function evaluateText(
  model: CausalLM,
  tokenizer: TextTokenizer,
  { text, source }: { text: string; source: string },
  options: WindowOptions,
): Promise<Record<"loss" | "perplexity" | "bitsPerByte" | "tokens" | "bytes", number>> {
  const ids = tokenizer.encode(text);
  if (ids.length < 2) throw new DataError(`${source}: must have two tokens at least; got ${ids.length}`);
  const isBegun = ids[0] === tokenizer.bosTokenId;
  const first = isBegun ? "" : tokenizer.decode(ids.subarray(0, 1)); // nothing predicts it
  const bytes = Buffer.byteLength(text) - Buffer.byteLength(first);
  const { loss, tokens } = await lossOfText(model, ids, options);
  return {
    loss,
    perplexity: perplexity(loss),
    bitsPerByte: bitsPerByte(loss, { tokens, bytes }),
    tokens,
    bytes,
  };
}
