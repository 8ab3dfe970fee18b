// The messages of the TypeScript compiler in 14 languages, as the package typescript-messages holds them.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { splitData } from "trainformer";

const require = createRequire(import.meta.url);

/** English messages as { en, fr, … } that have all of `languages`: cs de es fr it ja ko pl pt-br ru tr zh-cn zh-tw. */
export async function readMessages(languages) {
  const tables = {};
  for (const language of languages) {
    const file = `typescript-messages/lib/${language}/diagnosticMessages.generated.json`;
    tables[language] = JSON.parse(await readFile(require.resolve(file), "utf8"));
  }
  return Object.values(require("typescript-messages").Diagnostics)
    .map(({ key, message }) => ({
      en: message,
      ...Object.fromEntries(languages.map((l) => [l, tables[l][key]])),
    }))
    .filter((message) => Object.values(message).every(Boolean));
}

const wordsOf = (text) => text.toLowerCase().match(/\{\d\}|[\p{L}\p{N}]+/gu) ?? [];

/** Training, validation and test messages. Those that differ in one word, or that have one more, stay together. */
export const splitMessages = (messages, seed) =>
  splitData(messages, {
    fractions: { train: 0.85, validation: 0.05, test: 0.1 },
    seed,
    groupBy({ en }) {
      const words = wordsOf(en);
      const oneLess = words.length < 4 ? [] : words.map((_, i) => words.toSpliced(i, 1).join(" "));
      return [words.join(" "), ...oneLess];
    },
  });

/** What a translation memory answers: of the message with the fewest edits per word, how people translated it. */
export function translationMemory(messages, to) {
  const memory = messages.map((message) => ({ words: wordsOf(message.en), translation: message[to] }));
  return (text) => {
    const words = wordsOf(text);
    const distances = memory.map(
      (entry) => edits(words, entry.words) / Math.max(words.length, entry.words.length),
    );
    return memory[distances.indexOf(Math.min(...distances))].translation;
  };
}

/** Words to insert, delete or replace on the way from `a` to `b` (Levenshtein). */
function edits(a, b) {
  let row = b.map((_, j) => j + 1);
  a.forEach((word, i) => {
    let diagonal = i;
    let left = i + 1;
    row = row.map((above, j) => {
      left = Math.min(left + 1, above + 1, diagonal + (word === b[j] ? 0 : 1));
      diagonal = above;
      return left;
    });
  });
  return row.at(-1) ?? a.length;
}
