import { whiteSpace } from "./text-pairs.ts";

/**
 * How BLEU cuts text into words: "13a" is that of the WMT evaluations, for languages with spaces; "zh" also takes each
 * Chinese character for a word; "char" every character; "none" cuts at white space only.
 */
export type BLEUTokenizer = "13a" | "zh" | "char" | "none";

/**
 * What sacrebleu takes for Chinese. It writes the supplementary planes as "\u20000" to "\u2a6d6" and "\u2f800" to
 * "\u2fa1d", which Python reads as U+2000, "0" and so on: hence U+2001 to U+2A6D, the typographic quotation marks among
 * them, and U+2F81 to U+2FA1.
 */
const chinese =
  /[\u3400-\u4db5\u4e00-\u9fbb\uf900-\ufa2d\ufa30-\ufa6a\ufa70-\ufad9\u2001-\u2a6d\u2f81-\u2fa1\uff00-\uffef\u2e80-\u2eff\u3000-\u303f\u31c0-\u31ef\u2f00-\u2fdf\u2ff0-\u2fff\u3100-\u312f\u31a0-\u31bf\ufe10-\ufe1f\ufe30-\ufe4f\u3200-\u33ff]/gu;

/** ASCII punctuation and symbols become words, but ' , - . ; of those, - behind a digit and , . not between digits. */
const separated = (text: string): string =>
  text
    .replace(/[{-~[-` -&(-+:-@/]/g, " $& ")
    .replace(/([^0-9])([.,])/gu, "$1 $2 ")
    .replace(/([.,])([^0-9])/gu, " $1 $2")
    .replace(/([0-9])(-)/g, "$1 $2 ");

const tokenizers: Record<BLEUTokenizer, (text: string) => string> = {
  "13a": (text) =>
    separated(
      ` ${text
        .replaceAll("<skipped>", "")
        .replaceAll("-\n", "")
        .replaceAll("\n", " ")
        .replaceAll("&quot;", '"')
        .replaceAll("&amp;", "&")
        .replaceAll("&lt;", "<")
        .replaceAll("&gt;", ">")} `,
    ),
  zh: (text) => separated(trimmed(text).replace(chinese, " $& ")),
  char: (text) => Array.from(text).join(" "),
  none: (text) => text,
};

const start = new RegExp(`^${whiteSpace.source}`, "u");
const end = new RegExp(`${whiteSpace.source}$`, "u");
const trimmed = (text: string) => text.replace(start, "").replace(end, "");

export const bleuTokenizers = Object.keys(tokenizers);

/** The words of a text, as sacrebleu 2.6 has them. */
export const bleuTokens = (text: string, tokenizer: BLEUTokenizer): string[] =>
  tokenizers[tokenizer](text.replace(end, ""))
    .split(whiteSpace)
    .filter((word) => word !== "");
