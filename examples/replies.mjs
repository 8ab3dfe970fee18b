// An encoder–decoder Transformer that learns to reply from the dialogues in the Brown corpus's fiction:
// `npm run example:replies`.
//
// Two thousand exchanges teach little to say, but something about what answers what. The measure: among ten replies of
// documents held out, of which one is the true one, which does the model think the utterance makes likelier, by
// log P(reply | utterance) − log P(reply)? Chance finds it in 10 % of the cases.
//
// See Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models".
import { parseArgs } from "node:util";
import {
  crossEntropy,
  generate,
  noGrad,
  reshape,
  slice,
  step,
  Tokenizer,
  Transformer,
  trainBPE,
} from "trainformer";
import { readDialogues } from "./dialogue.mjs";
import { batchOf, fragmentsOf, trainSeq2Seq } from "./seq2seq.mjs";

const { values: options } = parseArgs({
  options: {
    steps: { type: "string" },
    seed: { type: "string", default: "1" },
    dtype: { type: "string", default: "bf16" }, // f32 is faster on processors without products of bf16
    out: { type: "string", default: "run/replies" },
    quick: { type: "boolean", default: false }, // seconds: shows that it learns, not how well
    json: { type: "boolean", default: false }, // a last line for programs
  },
});
const { quick, dtype, out } = options;
const [steps, seed] = [Number(options.steps ?? (quick ? 100 : 2000)), Number(options.seed)];
const { train, validation, test, sentences } = readDialogues(seed);

// Besides the exchanges it sees each sentence behind the one before, and behind a third of its own words: the one shows
// how sentences follow each other, the other that what is read has to do with what is written.
const following = sentences.flatMap((texts) =>
  texts.slice(1).map((target, i) => ({ source: texts[i], target })),
);
const fragments = fragmentsOf(sentences.flat());
/** Every fourth text also comes behind nothing, for P(reply). */
const alsoAlone = (pairs) => pairs.flatMap((pair, i) => (i % 4 ? [pair] : [pair, { ...pair, source: "" }]));

const special = { padToken: "<pad>", eosToken: "</s>" };
const training = { vocabSize: quick ? 1000 : 2000, specialTokens: Object.values(special) };
const tokenizer = Tokenizer.fromJSON(await trainBPE(sentences.flat(), training), special);
const { padTokenId, eosTokenId } = tokenizer;
/** The end of what was said, and how the reply begins. */
const encoded = (pairs) =>
  pairs.map(({ source, target }) => ({
    source: tokenizer.encode(source).slice(-48),
    target: tokenizer.encode(target).slice(0, 48),
  }));

const model = new Transformer({
  vocabSize: tokenizer.size,
  ...(quick ? { hiddenSize: 64, numLayers: 1 } : { hiddenSize: 128, numLayers: 2 }),
  ...{ numHeads: 4, contextLength: 64, dropout: 0.1 },
  ...{ padTokenId, eosTokenId, decoderStartTokenId: eosTokenId, dtype, seed },
});
const size = `${tokenizer.size} tokens; ${(model.parameterCount / 1e6).toFixed(1)} M parameters`;
console.log(`${train.length} exchanges, ${following.length} sentences; ${size}`);
const losses = await trainSeq2Seq(model, {
  train: encoded(alsoAlone([...following, ...fragments, ...train, ...train, ...train])),
  validation: encoded(validation),
  ...{ steps, seed, maxTokens: quick ? 512 : 1024, peak: 2e-3 },
  save: () => model.savePretrained(out, { tokenizer }),
});

/** −log P(target | source) of each pair, in nats. */
async function costsOf(model, pairs) {
  const losses = step(() =>
    noGrad(() => {
      const { inputIds, tokens, labels, ...input } = batchOf(model, pairs);
      const { logits } = model(inputIds, { ...input, labels });
      const [, T, V] = logits.shape;
      return pairs.map((_, b) => {
        const [row, targets] = [
          reshape(slice(logits, 0, b, b + 1), [T, V]),
          reshape(slice(labels, 0, b, b + 1), [T]),
        ];
        return crossEntropy(row, targets, { reduction: "sum" });
      });
    }),
  );
  return Promise.all(losses.map((loss) => loss.item()));
}

// The best model, from the folder, on documents that it has not seen: the true reply among nine of others
const best = (await Transformer.fromPretrained(out)).eval();
const asked = encoded(test).slice(0, quick ? 40 : undefined);
const count = asked.length;
const alone = await costsOf(
  best,
  asked.map(({ target }) => ({ source: [], target })),
);
const totals = { found: 0, true: { cost: 0, tokens: 0 }, others: { cost: 0, tokens: 0 } };
for (const [i, { source }] of asked.entries()) {
  const candidates = Array.from({ length: 10 }, (_, k) => (i + Math.floor((k * count) / 10)) % count);
  const costs = await costsOf(
    best,
    candidates.map((j) => ({ source, target: asked[j].target })),
  );
  const gains = candidates.map((j, k) => alone[j] - costs[k]);
  if (gains.slice(1).every((gain) => gain < gains[0])) totals.found++;
  for (const [k, j] of candidates.entries()) {
    const kind = k === 0 ? totals.true : totals.others;
    kind.cost += costs[k];
    kind.tokens += asked[j].target.length + 1;
  }
}

// The likeliest reply to most is "I don't know.": hence, of 16 that are drawn, the one of the largest gain a token
for (const [i, { source }] of asked.slice(0, quick ? 2 : 8).entries()) {
  const drawing = { doSample: true, temperature: 0.7, numReturnSequences: 16, maxNewTokens: 30, seed };
  const { sequences, texts } = await generate(best, [...source, eosTokenId], { tokenizer, ...drawing });
  const targets = sequences.map((ids) => ids.slice(1, ids.at(-1) === eosTokenId ? -1 : undefined));
  const costs = await costsOf(best, [
    ...targets.map((target) => ({ source, target })),
    ...targets.map((target) => ({ source: [], target })),
  ]);
  const gains = targets.map(({ length }, n) => (costs[n + targets.length] - costs[n]) / (length + 1));
  console.log(`\n– ${test[i].source}\n– ${texts[gains.indexOf(Math.max(...gains))]}`);
}

const perplexity = ({ cost, tokens }) => Math.exp(cost / tokens);
const scores = {
  accuracy: totals.found / count,
  perplexity: perplexity(totals.true),
  perplexityOfOthers: perplexity(totals.others),
};
console.log(
  `\n${count} held-out exchanges: the true reply among ten is found in ${(100 * scores.accuracy).toFixed(1)} %;`,
  `perplexity ${scores.perplexity.toFixed(1)}, of the other replies ${scores.perplexityOfOthers.toFixed(1)}`,
);
if (options.json) console.log(JSON.stringify({ losses, ...scores }));
