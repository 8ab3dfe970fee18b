import type { AlignedText } from "./aligned-text.ts";
import { Rewriter } from "./aligned-text.ts";
import type { Fields } from "./fields.ts";
import type { Normalizer } from "./normalizers.ts";

/** Most bytes of a grapheme that is looked up as a whole. */
const longestGrapheme = 5;

const utf8 = new TextEncoder();

/** The most units that are cut into graphemes at first: the time that V8 takes for one grows with the whole text. */
const windowOfGraphemes = 512;

/** The graphemes of `text`, found in windows, of which the last may go on behind it. */
function* graphemesOf(text: string): Generator<string> {
  const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" });
  for (let [start, size] = [0, windowOfGraphemes]; start < text.length; ) {
    const window = text.slice(start, start + size);
    const isLast = start + size >= text.length;
    const segments = Array.from(segmenter.segment(window), ({ segment }) => segment);
    if (!isLast) segments.pop();
    size = segments.length > 0 ? windowOfGraphemes : 2 * size;
    for (const segment of segments) {
      yield segment;
      start += segment.length;
    }
  }
}

/**
 * The normalizer of a SentencePiece model: a double-array trie from UTF-8 strings to their replacements.
 *
 *   precompiled_charsmap = size of the trie in bytes, u32 · units of the trie, u32 each · replacements, each with a NUL
 *
 * A grapheme of fewer than six bytes is replaced as a whole where the trie has a prefix of it, and character by character
 * elsewhere: so does Hugging Face's library, which follows SentencePiece in this.
 *
 * @see Kudo & Richardson 2018, "SentencePiece"; Aoe 1989, "An Efficient Digital Search Algorithm by Using a Double-Array"
 * @throws CheckpointError on a table that is cut short or leads out of itself
 */
export function precompiledNormalizer(config: Fields): Normalizer {
  const encoded = config.string("precompiled_charsmap");
  const bytes = Buffer.from(encoded, "base64");
  const invalid = () =>
    config.error("precompiled_charsmap", "a trie and its replacements in base64", encoded);
  if (bytes.length < 4) throw invalid();
  const trieBytes = bytes.readUInt32LE(0);
  if (trieBytes % 4 !== 0 || trieBytes > bytes.length - 4 || trieBytes === 0) throw invalid();
  const units = Uint32Array.from({ length: trieBytes / 4 }, (_, i) => bytes.readUInt32LE(4 + 4 * i));
  const replacements = bytes.subarray(4 + trieBytes);
  const found = new Map<string, string | undefined>();

  const unitAt = (i: number): number => {
    if (i >= units.length) throw invalid();
    return units[i]!;
  };
  const offsetOf = (unit: number) => ((unit >>> 10) << ((unit & 0x200) >>> 6)) >>> 0;
  /** Where the replacement of the shortest prefix of `key` that has one begins. */
  const search = (key: Uint8Array): number | undefined => {
    let position = offsetOf(unitAt(0));
    for (const byte of key) {
      if (byte === 0) return undefined;
      position = (position ^ byte) >>> 0;
      const unit = unitAt(position);
      if ((unit & 0x800000ff) >>> 0 !== byte) return undefined;
      position = (position ^ offsetOf(unit)) >>> 0;
      if (unit & 0x100) return unitAt(position) & 0x7fffffff;
    }
    return undefined;
  };
  const replacementOf = (chunk: string): string | undefined => {
    if (found.has(chunk)) return found.get(chunk);
    const start = search(utf8.encode(chunk));
    let replacement: string | undefined;
    if (start !== undefined) {
      const end = replacements.indexOf(0, start);
      if (start >= replacements.length || end < 0) throw invalid();
      replacement = replacements.toString("utf8", start, end);
    }
    if (found.size >= 20_000) found.clear();
    found.set(chunk, replacement);
    return replacement;
  };

  return (source: AlignedText) => {
    const rewriter = new Rewriter(source);
    let isChanged = false;
    const rewrite = (chunk: string): boolean => {
      const replacement = replacementOf(chunk);
      if (replacement === undefined) return false;
      isChanged = true;
      const [from, to] = [[...chunk], [...replacement]];
      const common = Math.min(from.length, to.length);
      for (let i = 0; i < common - 1; i++) rewriter.replace(to[i]!);
      if (common > 0) rewriter.replace(to[common - 1]!, from.length - common);
      else rewriter.skip(from.length);
      rewriter.insert(to.slice(common).join(""));
      return true;
    };
    for (const segment of graphemesOf(source.text)) {
      if (Buffer.byteLength(segment) <= longestGrapheme && rewrite(segment)) continue;
      for (const character of segment) if (!rewrite(character)) rewriter.keep(character.length);
    }
    return isChanged ? rewriter.finish() : source;
  };
}
