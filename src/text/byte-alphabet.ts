/**
 * The character that stands for each byte in byte-level vocabularies: itself where Latin-1 has something to see there,
 * else one from U+0100 on.
 *
 * @see Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"
 */
export const byteCharacters: readonly string[] = (() => {
  const isSeen = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isSeen(byte) ? byte : next++));
})();

const bytes = new Map(byteCharacters.map((character, byte) => [character, byte]));
const utf8 = new TextEncoder();

/** The characters of the bytes of `text` in UTF-8. */
export function toByteCharacters(text: string): string {
  let result = "";
  for (const byte of utf8.encode(text)) result += byteCharacters[byte];
  return result;
}

/** The bytes that a token stands for; a token with other characters than those above stands for its own text. */
export function bytesOfToken(token: string): Uint8Array {
  const result = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = bytes.get(token[i]!);
    if (byte === undefined) return utf8.encode(token);
    result[i] = byte;
  }
  return result;
}

/** The model of a tokenizer.json that joins bytes: no token is unknown, none is marked inside of a word. */
export const bytePairModel = (vocab: Readonly<Record<string, number>>, merges: readonly string[][]) => ({
  type: "BPE",
  dropout: null,
  unk_token: null,
  continuing_subword_prefix: null,
  end_of_word_suffix: null,
  fuse_unk: false,
  byte_fallback: false,
  ignore_merges: false,
  vocab,
  merges,
});
