// Writes src/text/unicode-tables.ts: what the characters of Unicode are to the components of Hugging Face's tokenizers,
// whose tables come from several versions of Unicode. Asks the native library about every code point.
//
//   node test/golden/make_unicode_tables.mjs      (a version of Node whose process.versions.unicode is 17.0)
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Tokenizer } from "tokenizers";

const load = (parts) =>
  Tokenizer.fromString(
    JSON.stringify({
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: null,
      post_processor: null,
      decoder: null,
      model: { type: "WordLevel", vocab: { a: 0 }, unk_token: "a" },
      ...parts,
    }),
  );
const normalizer = (config) => {
  const native = load({ normalizer: config }).getNormalizer();
  return (text) => native.normalizeString(text);
};
const splitter = (config) => {
  const native = load({ pre_tokenizer: config }).getPreTokenizer();
  return (text) => native.preTokenizeString(text).map(([piece]) => piece);
};
const bert = (options) =>
  normalizer({
    type: "BertNormalizer",
    clean_text: false,
    handle_chinese_chars: false,
    strip_accents: false,
    lowercase: false,
    ...options,
  });

const clean = bert({ clean_text: true });
const stripNonspacing = bert({ strip_accents: true });
const stripAccents = normalizer({ type: "StripAccents" });
const splitBert = splitter({ type: "BertPreTokenizer" });
const unassigned = { type: "Split", pattern: { Regex: "\\p{Cn}" }, behavior: "Removed", invert: false };
const splitUnassigned = splitter(unassigned);
const nfd = normalizer({ type: "NFD" });
const nfkd = normalizer({ type: "NFKD" });
/** U+0345 has the highest class of the combining marks, U+0334 the lowest: a mark changes places with one of them. */
const isNonStarter = (decompose, c) =>
  decompose(`\u0345${c}`) !== `\u0345${c}` || decompose(`${c}\u0334`) !== `${c}\u0334`;

const tables = {
  removedByCleaning: [
    "What BertNormalizer's clean_text removes, but U+0000 and U+FFFD.",
    (c) => c !== "\0" && c !== "\ufffd" && clean(`a${c}a`) === "aa",
  ],
  nonspacingMarks: [
    "What BertNormalizer's strip_accents removes.",
    (c) => c.normalize("NFD") === c && stripNonspacing(`a${c}b`) === "ab",
  ],
  accents: ["What StripAccents removes.", (c) => stripAccents(`a${c}`) === "a"],
  punctuation: ["What BertPreTokenizer and Punctuation isolate.", (c) => splitBert(`a${c}a`).length === 3],
  laterThanNormalizer: [
    "Characters with a decomposition or a combining class in Unicode 17, but not in the native library's older tables.",
    (c) =>
      (c.normalize("NFKD") !== c && nfkd(c) === c) ||
      (isNonStarter((text) => text.normalize("NFD"), c) && !isNonStarter(nfd, c)),
  ],
  laterThanPatterns: [
    "Characters of Unicode 17 that are unassigned in the native library's regular expressions.",
    (c) => !/\p{Cn}/u.test(c) && splitUnassigned(`a${c}a`).length === 2,
  ],
};

function encode(isMember) {
  const ranges = [];
  for (let codePoint = 0; codePoint < 0x110000; codePoint++) {
    if (codePoint === 0xd800) codePoint = 0xe000;
    if (!isMember(String.fromCodePoint(codePoint))) continue;
    const last = ranges.at(-1);
    if (last?.[1] === codePoint - 1) last[1] = codePoint;
    else ranges.push([codePoint, codePoint]);
  }
  let previous = 0;
  const parts = ranges.map(([first, last]) => {
    const gap = (first - previous).toString(36);
    previous = last;
    return last > first ? `${gap}-${(last - first).toString(36)}` : gap;
  });
  return parts.join(" ").match(/.{1,99}(?= |$)/g) ?? [];
}

const blocks = Object.entries(tables).map(([name, [comment, isMember]]) => {
  const lines = encode(isMember).map((line, i, all) => JSON.stringify(i + 1 < all.length ? line : line));
  return `/** ${comment} */\nexport const ${name} =\n  ${lines.join(" +\n  ")};\n`;
});
const head = `// Made by test/golden/make_unicode_tables.mjs of tokenizers 0.23.2. Ranges of code points in base 36: how far each begins
// after the last code point of the one before, and after a hyphen how many code points more than one it has.
`;
const target = fileURLToPath(new URL("../../src/text/unicode-tables.ts", import.meta.url));
writeFileSync(target, `${head}\n${blocks.join("\n")}`);
execFileSync("npx", ["biome", "format", "--write", target]);
