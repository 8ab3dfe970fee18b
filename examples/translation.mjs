// An encoder–decoder Transformer that translates the messages of the TypeScript compiler, trained from nothing on 1,800
// of them: `npm run example:translation -- --to fr`, or to de, zh-cn and ten other languages.
//
// The score to beat is that of a translation memory: the most similar message of the training set, as people translated
// it. A language stands as a token before its text, so that one model can learn several: `--to fr --beside es,it`.
import { parseArgs } from "node:util";
import { bleu, chrF, generate, Tokenizer, Transformer, trainBPE } from "trainformer";
import { readMessages, splitMessages, translationMemory } from "./messages.mjs";
import { trainSeq2Seq } from "./seq2seq.mjs";

const { values: options } = parseArgs({
  options: {
    to: { type: "string", default: "fr" },
    beside: { type: "string" }, // more languages for the same model to learn, as in es,it
    steps: { type: "string" },
    seed: { type: "string", default: "1" },
    dtype: { type: "string", default: "bf16" }, // f32 is faster on processors without products of bf16
    out: { type: "string" },
    quick: { type: "boolean", default: false }, // seconds: shows that it learns, not how well
    json: { type: "boolean", default: false }, // a last line for programs
  },
});
const { to, quick, dtype, out = `run/translation-${to}` } = options;
const [steps, seed] = [Number(options.steps ?? (quick ? 200 : 3000)), Number(options.seed)];

const languages = [...new Set([to, ...(options.beside?.split(",") ?? [])])];
const { train, validation, test } = splitMessages(await readMessages(languages), seed);

// One vocabulary for all languages, with a token for each
const special = { padToken: "<pad>", eosToken: "</s>" };
const specialTokens = [...Object.values(special), ...languages.map((language) => `<${language}>`)];
const vocabSize = 1000 * (quick ? 1 : languages.length + 1);
const tokenizer = Tokenizer.fromJSON(
  await trainBPE(train.flatMap(Object.values), { vocabSize, specialTokens }),
  special,
);
const idOf = (language) => tokenizer.tokenToId(`<${language}>`);
const pairsOf = (messages, languages) =>
  messages.flatMap((message) =>
    languages.map((language) => ({
      source: tokenizer.encode(message.en),
      target: [idOf(language), ...tokenizer.encode(message[language])],
    })),
  );

const { padTokenId, eosTokenId } = tokenizer;
const model = new Transformer({
  vocabSize: tokenizer.size,
  ...(quick ? { hiddenSize: 64, numLayers: 2 } : { hiddenSize: 192, numLayers: 3 }),
  numHeads: 4,
  contextLength: 256,
  dropout: quick ? 0.1 : 0.3,
  ...{ padTokenId, eosTokenId, decoderStartTokenId: eosTokenId },
  forcedBosTokenId: idOf(to), // the language that it generates
  ...{ dtype, seed },
});
console.log(
  `${train.length} messages, en → ${languages.join(", ")}; ${tokenizer.size} tokens;`,
  `${(model.parameterCount / 1e6).toFixed(1)} M parameters`,
);

const losses = await trainSeq2Seq(model, {
  train: pairsOf(train, languages),
  validation: pairsOf(validation, [to]),
  given: 1, // the language
  ...{ steps, seed, maxTokens: 512, peak: quick ? 3e-3 : 1e-3 },
  save: () => model.savePretrained(out, { tokenizer }),
});

// The best model, from the folder, on messages that it has not seen
const best = await Transformer.fromPretrained(out);
const shown = quick ? test.slice(0, 30) : test;
const ours = [];
for (let i = 0; i < shown.length; i += 32) {
  const inputs = shown.slice(i, i + 32).map(({ en }) => [...tokenizer.encode(en), eosTokenId]);
  const search = quick ? { maxNewTokens: 60 } : { numBeams: 4, maxNewTokens: 150 };
  const { texts } = await generate(best, inputs, { tokenizer, ...search });
  ours.push(...texts);
}
const memory = translationMemory(train, to);
const theirs = shown.map(({ en }) => memory(en));
const references = shown.map((message) => message[to]);
for (const i of [0, 1, 2, 3, 4].filter((i) => i < shown.length)) {
  console.log(`\n${shown[i].en}\n  model   ${ours[i]}\n  memory  ${theirs[i]}\n  people  ${references[i]}`);
}

const tokenizerOfBLEU = { "zh-cn": "zh", "zh-tw": "zh", ja: "char" }[to] ?? "13a";
const scoreOf = (hypotheses) => ({
  bleu: bleu(hypotheses, references, { tokenizer: tokenizerOfBLEU }).score,
  chrF: chrF(hypotheses, references).score,
});
const scores = { model: scoreOf(ours), memory: scoreOf(theirs) };
const line = ({ bleu, chrF }) => `BLEU ${bleu.toFixed(1)}  chrF ${chrF.toFixed(1)}`;
console.log(
  `\n${shown.length} held-out messages:  model ${line(scores.model)}   memory ${line(scores.memory)}`,
);
if (options.json) console.log(JSON.stringify({ losses, ...scores }));
