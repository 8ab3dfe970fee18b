// A BERT of the Brown corpus, in two parts: `npm run example:bert`.
//
// It learns from 450 documents without labels: masked words, and whether one passage follows another (MLM + NSP). Then
// it is fine-tuned to tell passages of imaginative prose from informative ones, beside the same classifier without
// pretraining and naive Bayes. All scores are of the 50 other documents.
import { parseArgs } from "node:util";
import {
  AdamW,
  BertForPreTraining,
  BertForSequenceClassification,
  bucketedBatches,
  linearSchedule,
  maskedLanguageModeling,
  nextSentencePairs,
  noGrad,
  padExamples,
  step,
  Tokenizer,
  tensor,
  trainWordPiece,
} from "trainformer";
import { brownDocuments } from "../scripts/brown.mjs";
import { naiveBayes } from "./naive-bayes.mjs";

const { values: options } = parseArgs({
  options: {
    steps: { type: "string" }, // of pretraining
    "classifier-steps": { type: "string" },
    seed: { type: "string", default: "1" },
    dtype: { type: "string", default: "bf16" }, // f32 is faster on processors without products of bf16
    out: { type: "string", default: "run/brown-bert" },
    quick: { type: "boolean", default: false }, // seconds: shows that it learns, not how well
    json: { type: "boolean", default: false }, // a last line for programs
  },
});
const { quick, dtype, out } = options;
const seed = Number(options.seed);
const steps = Number(options.steps ?? (quick ? 60 : 3000));
const classifierSteps = Number(options["classifier-steps"] ?? (quick ? 96 : 1000));
const maxLength = 64;

// Whole documents are held out, every tenth: from the models and from the vocabulary
const documents = brownDocuments().map(({ id, text }) => ({ id, sentences: text.split("\n") }));
const training = documents.filter((_, i) => i % 10 !== 9).filter((_, i) => !quick || i % 10 === 0);
const heldOut = documents.filter((_, i) => i % 10 === 9).filter((_, i) => !quick || i % 10 === 0);

const tokenizer = Tokenizer.fromJSON(
  await trainWordPiece(
    training.flatMap(({ sentences }) => sentences),
    { vocabSize: quick ? 1000 : 4000 },
  ),
  { padToken: "[PAD]", unkToken: "[UNK]", clsToken: "[CLS]", sepToken: "[SEP]", maskToken: "[MASK]" },
);
const { clsTokenId, sepTokenId, padTokenId, maskTokenId } = tokenizer;

/** Trains on batches of examples of similar length; `lossesOf` a batch are `loss` and what else is to be shown. */
async function train(model, { examplesOf, steps, peak, lossesOf }) {
  const optimizer = new AdamW(model.parameters(), { betas: [0.9, 0.98] });
  const learningRate = linearSchedule({ peak, warmupSteps: Math.ceil(steps / 8), steps });
  const began = performance.now();
  const shown = []; // means of the steps since the ones before
  const every = Math.ceil(steps / 12);
  let [done, sums] = [0, {}];
  for (let epoch = 0; done < steps; epoch++) {
    const examples = examplesOf(epoch);
    const lengths = examples.map(({ inputIds }) => inputIds.length);
    for (const { indices } of bucketedBatches(lengths, { batchSize: 32, seed, epoch })) {
      const losses = step(() => {
        const losses = lossesOf(Array.from(indices, (i) => examples[i]));
        losses.loss.backward();
        optimizer.step({ learningRate: learningRate(done), maxGradNorm: 1 });
        return losses;
      });
      done++;
      for (const [name, loss] of Object.entries(losses)) {
        sums[name] = (sums[name] ?? 0) + (await loss.item()) / every;
      }
      if (done % every === 0) {
        const line = Object.entries(sums).map(([name, mean]) => `${name} ${mean.toFixed(3)}`);
        const seconds = ((performance.now() - began) / 1000).toFixed(0);
        console.log(`  step ${done}/${steps}  ${line.join("  ")}  ${seconds} s`);
        shown.push(sums.loss);
        sums = {};
      }
      if (done === steps) break;
    }
  }
  return shown;
}

// Pretraining: pairs and masks are new in each epoch
const idsOf = (documents) =>
  documents.map(({ sentences }) =>
    sentences.map((text) => tokenizer.encode(text, { addSpecialTokens: false })),
  );
const pairsOf = (documents, { epoch = 0, mlmProbability = 0.15 } = {}) => {
  const special = { maskTokenId, specialTokenIds: tokenizer.allSpecialIds };
  const mask = maskedLanguageModeling({ ...special, vocabSize: tokenizer.size, mlmProbability, seed });
  const pairs = nextSentencePairs(documents, { clsTokenId, sepTokenId, maxLength, seed, epoch });
  return Array.from(pairs, (pair, index) => ({ ...pair, ...mask(pair.inputIds, { index, epoch }) }));
};
const pretrainingBatch = (pairs) => {
  const { shape, ...rows } = padExamples(pairs, { inputIds: padTokenId, labels: -100, tokenTypeIds: 0 });
  return {
    ids: tensor(rows.inputIds, shape),
    tokenTypeIds: tensor(rows.tokenTypeIds, shape),
    lengths: tensor(rows.lengths, [pairs.length]),
    labels: tensor(rows.labels, shape),
    nextSentenceLabel: tensor(
      Int32Array.from(pairs, (pair) => pair.nextSentenceLabel),
      [pairs.length],
    ),
  };
};

const model = new BertForPreTraining({
  vocabSize: tokenizer.size,
  contextLength: maxLength,
  ...(quick ? { hiddenSize: 64, numLayers: 2, numHeads: 2 } : { hiddenSize: 192, numLayers: 4, numHeads: 3 }),
  dropout: 0, // few passes over the text: nothing to forget yet
  classifierDropout: 0.1,
  ...{ padTokenId, dtype, seed },
});

/** Of held-out pairs: the loss and accuracy of masked tokens, and the accuracy of next sentences. */
async function evaluatePretraining(model, pairs) {
  const sums = { nats: 0, tokens: 0, rightTokens: 0, rightPairs: 0 };
  model.eval();
  for (let i = 0; i < pairs.length; i += 32) {
    const part = pairs.slice(i, i + 32);
    const { loss, predicted, follows, labels } = step(() => {
      const { ids, ...input } = pretrainingBatch(part);
      const output = noGrad(() => model(ids, input));
      const predicted = noGrad(() => output.logits.argmax(-1));
      const follows = output.seqRelationshipLogits.argmax(-1);
      return { loss: output.maskedLMLoss, predicted, follows, labels: input.labels };
    });
    const [found, wanted] = [await predicted.data(), await labels.data()];
    const masked = wanted.reduce((sum, label) => sum + (label !== -100), 0);
    sums.tokens += masked;
    sums.nats += (await loss.item()) * masked;
    sums.rightTokens += wanted.reduce((sum, label, t) => sum + (found[t] === label), 0);
    const guesses = await follows.data();
    sums.rightPairs += part.reduce((sum, pair, b) => sum + (guesses[b] === pair.nextSentenceLabel), 0);
  }
  model.train();
  return {
    loss: sums.nats / sums.tokens,
    accuracy: sums.rightTokens / sums.tokens,
    nextSentenceAccuracy: sums.rightPairs / pairs.length,
  };
}

/** The share of the most frequent of these. */
const shareOfMostFrequent = (values) => {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return Math.max(...counts.values()) / values.length;
};
const percent = (share) => `${(100 * share).toFixed(1)} %`;

const [trainingIds, heldOutIds] = [idsOf(training), idsOf(heldOut)];
const heldOutPairs = pairsOf(heldOutIds);
console.log(
  `${training.length} documents, ${tokenizer.size} tokens; ${(model.parameterCount / 1e6).toFixed(1)} M parameters`,
);
const pretraining = {
  chance: {
    accuracy: shareOfMostFrequent(
      heldOutPairs.flatMap(({ labels }) => [...labels].filter((id) => id !== -100)),
    ),
    nextSentenceAccuracy: shareOfMostFrequent(heldOutPairs.map((pair) => pair.nextSentenceLabel)),
  },
  before: await evaluatePretraining(model, heldOutPairs),
};
console.log("pretraining");
const losses = {};
losses.pretraining = await train(model, {
  examplesOf: (epoch) => pairsOf(trainingIds, { epoch, mlmProbability: 0.3 }), // twice the usual: more to learn from
  steps,
  peak: quick ? 3e-3 : 1.5e-3,
  lossesOf(pairs) {
    const { ids, ...input } = pretrainingBatch(pairs);
    const { loss, maskedLMLoss, nextSentenceLoss } = model(ids, input);
    return { loss, mlm: maskedLMLoss, nsp: nextSentenceLoss };
  },
});
pretraining.after = await evaluatePretraining(model, heldOutPairs);
for (const [when, { loss, accuracy, nextSentenceAccuracy }] of Object.entries(pretraining)) {
  const nats = loss === undefined ? "" : `loss ${loss.toFixed(3)}, `;
  console.log(
    `${when}: masked tokens ${nats}${percent(accuracy)} right; next sentences ${percent(nextSentenceAccuracy)}`,
  );
}
await model.savePretrained(out, { tokenizer });

// Classification: passages of about 32 words, in whole sentences. Genres K to R are imaginative prose.
const passagesOf = (documents) =>
  documents.flatMap(({ id, sentences }) => {
    const passages = [];
    let words = Infinity;
    for (const sentence of sentences) {
      const more = sentence.split(" ").length;
      if (words + more > 32) {
        passages.push([]);
        words = 0;
      }
      passages.at(-1).push(sentence);
      words += more;
    }
    const label = id[1] >= "k" ? 1 : 0;
    return passages.map((sentences) => {
      const text = sentences.join(" ");
      return { text, label, inputIds: tokenizer.encode(text).subarray(0, maxLength) };
    });
  });
const [passages, heldOutPassages] = [passagesOf(training), passagesOf(heldOut)];
const classifierBatch = (passages) => {
  const { inputIds, lengths, shape } = padExamples(passages, { inputIds: padTokenId });
  const labels = tensor(
    Int32Array.from(passages, ({ label }) => label),
    [passages.length],
  );
  return { ids: tensor(inputIds, shape), lengths: tensor(lengths, [passages.length]), labels };
};

/** The share of held-out passages that a classifier gets right. */
async function accuracyOf(classifier) {
  let right = 0;
  classifier.eval();
  for (let i = 0; i < heldOutPassages.length; i += 64) {
    const part = heldOutPassages.slice(i, i + 64);
    const predicted = step(() => {
      const { ids, lengths } = classifierBatch(part);
      return noGrad(() => classifier(ids, { lengths }).logits.argmax(-1));
    });
    const labels = await predicted.data();
    right += part.reduce((sum, { label }, b) => sum + (labels[b] === label), 0);
  }
  return right / heldOutPassages.length;
}

const kind = { labels: ["informative", "imaginative"], pooling: "mean" };
const classifiers = {
  // Warns that the classifier is new and that the heads of pretraining stay behind: so it should be.
  pretrained: await BertForSequenceClassification.fromPretrained(out, { ...kind, dtype }),
  fromNothing: new BertForSequenceClassification({ ...model.config, seed }, kind),
};
const classification = { chance: shareOfMostFrequent(heldOutPassages.map(({ label }) => label)) };
for (const [name, classifier] of Object.entries(classifiers)) {
  console.log(`classifier, ${name}`);
  losses[name] = await train(classifier, {
    examplesOf: () => passages,
    steps: classifierSteps,
    peak: quick ? 1e-3 : 5e-4,
    lossesOf(passages) {
      const { ids, ...input } = classifierBatch(passages);
      return { loss: classifier(ids, input).loss };
    },
  });
  classification[name] = await accuracyOf(classifier);
}
await classifiers.pretrained.savePretrained(`${out}-classifier`, { tokenizer });

// The best of six variants on the held-out passages themselves, which is in its favour
const variants = [1, 0.3, 0.1].flatMap((smoothing) =>
  [false, true].map((onceEach) => ({ smoothing, onceEach })),
);
classification.naiveBayes = Math.max(
  ...variants.map((variant) => {
    const labelOf = naiveBayes(passages, variant);
    return (
      heldOutPassages.filter(({ text, label }) => labelOf(text) === label).length / heldOutPassages.length
    );
  }),
);
for (const [name, accuracy] of Object.entries(classification))
  console.log(`${name.padEnd(12)} ${percent(accuracy)}`);
if (options.json) console.log(JSON.stringify({ losses, pretraining, classification }));
