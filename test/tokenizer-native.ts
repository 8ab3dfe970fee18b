import { Tokenizer as NativeTokenizer } from "tokenizers";
import { expect } from "vitest";
import type { Tokenizer } from "../src/text/tokenizer.ts";

/** Hugging Face's native library counts code points. */
function codePointsBefore(text: string): Int32Array {
  const before = new Int32Array(text.length + 1);
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    before[i] = count;
    if (text.codePointAt(i)! > 0xffff) before[++i] = count;
    count++;
  }
  before[text.length] = count;
  return before;
}

/** Fails with the first string of which ids, offsets, type ids or decoded texts are not those of the native library. */
export async function compareWithNative(tokenizer: Tokenizer, strings: Iterable<string>) {
  const native = NativeTokenizer.fromString(JSON.stringify(tokenizer.toJSON()));
  const texts = [...strings];
  const expected = await native.encodeBatch(texts, { addSpecialTokens: true });
  const allIds = expected.map((encoding) => encoding.getIds());
  const decoded = await native.decodeBatch(allIds, true);
  const decodedWhole = await native.decodeBatch(allIds, false);
  for (const [i, text] of texts.entries()) {
    const encoding = expected[i]!;
    const shown = JSON.stringify(text);
    const ids = tokenizer.encode(text);
    expect([...ids], shown).toEqual(allIds[i]);
    const batch = tokenizer.encodeBatch([text]);
    const before = codePointsBefore(text);
    const offsets = batch.offsets[0]!.map((o) => (o ? [before[o[0]], before[o[1]]] : [0, 0]));
    expect(offsets, shown).toEqual(encoding.getOffsets());
    expect([...batch.specialTokensMask], shown).toEqual(encoding.getSpecialTokensMask());
    expect(tokenizer.decode(ids, { skipSpecialTokens: true }), shown).toBe(decoded[i]);
    expect(tokenizer.decode(ids), shown).toBe(decodedWhole[i]);
  }
}
