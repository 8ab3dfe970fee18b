// An encoder–decoder Transformer that finds titles for descriptions of GitHub's API endpoints, trained from nothing on
// 900 of them: `npm run example:summaries`. What it must beat: the first sentence, and the title of the endpoint whose
// description is most similar.
import { parseArgs } from "node:util";
import { generate, rouge, Tokenizer, Transformer, trainBPE } from "trainformer";
import { readEndpoints, splitEndpoints, titleOfNearest } from "./endpoints.mjs";
import { fragmentsOf, trainSeq2Seq } from "./seq2seq.mjs";

const { values: options } = parseArgs({
  options: {
    steps: { type: "string" },
    seed: { type: "string", default: "1" },
    dtype: { type: "string", default: "bf16" }, // f32 is faster on processors without products of bf16
    out: { type: "string", default: "run/summaries" },
    quick: { type: "boolean", default: false }, // seconds: shows that it learns, not how well
    json: { type: "boolean", default: false }, // a last line for programs
  },
});
const { quick, dtype, out } = options;
const [steps, seed] = [Number(options.steps ?? (quick ? 150 : 2500)), Number(options.seed)];
const { train, validation, test } = splitEndpoints(await readEndpoints(), seed);

const special = { padToken: "<pad>", eosToken: "</s>" };
const texts = train.flatMap(Object.values);
const openings = texts.map((text) => text.split(/(?<=\.) /)[0]); // titles and first sentences
const training = { vocabSize: quick ? 1000 : 2000, specialTokens: Object.values(special) };
const tokenizer = Tokenizer.fromJSON(await trainBPE(texts, training), special);
const { padTokenId, eosTokenId } = tokenizer;
const encoded = (pairs) =>
  pairs.map(({ source, target }) => ({ source: tokenizer.encode(source), target: tokenizer.encode(target) }));

const model = new Transformer({
  vocabSize: tokenizer.size,
  ...(quick ? { hiddenSize: 64, numLayers: 2 } : { hiddenSize: 192, numLayers: 2 }),
  ...{ numHeads: 4, contextLength: 256, dropout: quick ? 0.1 : 0.3 },
  ...{ padTokenId, eosTokenId, decoderStartTokenId: eosTokenId, dtype, seed },
});
const size = `${tokenizer.size} tokens; ${(model.parameterCount / 1e6).toFixed(1)} M parameters`;
console.log(`${train.length} endpoints; ${size}`);
const losses = await trainSeq2Seq(model, {
  train: encoded([...train, ...train, ...train, ...fragmentsOf(openings)]),
  validation: encoded(validation),
  ...{ steps, seed, maxTokens: quick ? 512 : 1024, peak: quick ? 3e-3 : 1e-3 },
});
// The validation loss of so few titles is lowest early on, as the model gets surer where it is wrong, too; what it
// writes gets better to the end. So the last model is kept.
await model.savePretrained(out, { tokenizer });

// Descriptions that it has not seen
const shown = quick ? test.slice(0, 30) : test;
const inputs = shown.map(({ source }) => [...tokenizer.encode(source), eosTokenId]);
const search = { numBeams: quick ? 1 : 4, maxNewTokens: 40 };
const { texts: titles } = await generate(model, inputs, { tokenizer, ...search });
const nearest = titleOfNearest(train);
const found = {
  model: titles,
  nearest: shown.map(({ source }) => nearest(source)),
  "first sentence": shown.map(({ source }) => source.split(/(?<=\.) /)[0]),
};
for (const [i, { source, target }] of shown.slice(0, 5).entries()) {
  console.log(`\n${source}\n  model    ${titles[i]}\n  nearest  ${found.nearest[i]}\n  people   ${target}`);
}

console.log(`\n${shown.length} held-out descriptions, F1 in percent:`);
const references = shown.map(({ target }) => target);
const scores = Object.fromEntries(
  Object.entries(found).map(([name, texts]) => [name, rouge(texts, references)]),
);
for (const [name, { rouge1, rouge2, rougeL }] of Object.entries(scores)) {
  const [one, two, longest] = [rouge1, rouge2, rougeL].map(({ f1 }) => (100 * f1).toFixed(1));
  console.log(`  ${name.padEnd(16)} ROUGE-1 ${one}  ROUGE-2 ${two}  ROUGE-L ${longest}`);
}
if (options.json) console.log(JSON.stringify({ losses, ...scores }));
