/**
 * Writes native/text/unicode_classes.h: what the tokenizer trainers must know of each character, from the Unicode
 * properties that Node's regular expressions have and src/text/unicode.ts corrects.
 *
 *   npm run build && node scripts/unicode-classes.mjs
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { asPatternsSee } from "../dist/text/unicode.js";

/** The first that matches is the class of a character. `hidden`: what a normalizer may drop or turn into a space. */
const classes = [
  ["letter", /\p{L}/u],
  ["number", /\p{N}/u],
  ["space", /\p{White_Space}/u],
  ["hidden", /[\p{C}\u2581\ufffd]/u],
  ["other", /./su],
];

const starts = [];
let last = -1;
for (let codePoint = 0; codePoint < 0x110000; codePoint++) {
  const character = asPatternsSee(String.fromCodePoint(codePoint));
  const found = classes.findIndex(([, pattern]) => pattern.test(character));
  if (found !== last) starts.push((codePoint << 3) | found);
  last = found;
}

const lines = [];
let line = "   ";
for (const start of starts) {
  const word = ` ${start},`;
  if (line.length + word.length > 118) {
    lines.push(line);
    line = "   ";
  }
  line += word;
}
lines.push(line);

const names = classes.map(([name]) => name).join(", ");
const header = `// Made by scripts/unicode-classes.mjs: do not edit.
#pragma once
#include <cstdint>

namespace text {

enum class CharacterClass : std::uint8_t { ${names} };

// Runs of code points of one class: 8 · first + class.
// clang-format off
constexpr std::uint32_t kClassRuns[] = {
${lines.join("\n")}
};
// clang-format on

}  // namespace text
`;
writeFileSync(fileURLToPath(new URL("../native/text/unicode_classes.h", import.meta.url)), header);
