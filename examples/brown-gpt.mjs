// A language model of the Brown corpus with a byte-level BPE tokenizer of its own, trained from nothing on 450 of its
// documents: `npm run example:gpt`.
//
// Its score is the cross entropy of the other 50: in nats a token, and in bits a byte, which models of any tokenizer
// have in common.
import { parseArgs } from "node:util";
import {
  AdamW,
  bucketedBatches,
  cosineSchedule,
  Llama,
  noGrad,
  packTokens,
  step,
  Tokenizer,
  tensor,
  trainBPE,
} from "trainformer";
import { brownDocuments } from "../scripts/brown.mjs";

const { values: options } = parseArgs({
  options: {
    steps: { type: "string" },
    seed: { type: "string", default: "1" },
    dtype: { type: "string", default: "bf16" }, // f32 is faster on processors without products of bf16
    out: { type: "string", default: "run/brown-gpt" },
    quick: { type: "boolean", default: false }, // seconds: shows that it learns, not how well
    json: { type: "boolean", default: false }, // a last line for programs
  },
});
const { quick, dtype, out } = options;
const [steps, seed] = [Number(options.steps ?? (quick ? 60 : 1800)), Number(options.seed)];
const [batchSize, contextLength] = quick ? [4, 64] : [8, 256];

// Whole documents are held out, every tenth: from the model and from its vocabulary
const texts = brownDocuments().map(({ text }) => text);
const training = texts.filter((_, i) => i % 10 !== 9).slice(0, quick ? 45 : undefined);
const heldOut = texts.filter((_, i) => i % 10 === 9).slice(0, quick ? 2 : undefined);

const border = "<|endoftext|>"; // before and behind each document
const tokenizer = Tokenizer.fromJSON(
  await trainBPE(training, { vocabSize: quick ? 1000 : 4000, specialTokens: [border] }),
  { bosToken: border, eosToken: border },
);
const { bosTokenId, eosTokenId } = tokenizer;

/** Windows of T tokens, full of documents; what a token sees `starts` where its document does. */
const windowsOf = (texts) => {
  const documents = texts.map((text) => [bosTokenId, ...tokenizer.encode(text)]);
  return [...packTokens(documents, { contextLength, eosTokenId, dropLast: false })];
};
const batchOf = (windows) => {
  const all = (field) => {
    const ids = new Int32Array(windows.length * contextLength);
    for (const [b, window] of windows.entries()) ids.set(window[field], b * contextLength);
    return tensor(ids, [windows.length, contextLength]);
  };
  return [all("inputs"), { targets: all("targets"), starts: all("starts") }];
};

// Its rotary positions are relative: a document in the middle of a window is like one at its beginning.
const model = new Llama({
  vocabSize: tokenizer.size,
  contextLength,
  ...(quick ? { hiddenSize: 64, numLayers: 2, numHeads: 2 } : { hiddenSize: 192, numLayers: 4, numHeads: 3 }),
  intermediateSize: quick ? 192 : 512,
  tieWordEmbeddings: true,
  ...{ dtype, seed },
});
model.generationConfig = { bosTokenId, eosTokenId };

/** Of all tokens of these documents, and of the border behind each. */
async function crossEntropyOf(texts) {
  const windows = windowsOf(texts);
  let [nats, tokens] = [0, 0];
  model.eval();
  for (let i = 0; i < windows.length; i += 16) {
    const batch = windows.slice(i, i + 16);
    const loss = step(() => noGrad(() => model(...batchOf(batch)).loss));
    const count = batch.flatMap(({ targets }) => [...targets]).filter((target) => target !== -100).length;
    nats += (await loss.item()) * count;
    tokens += count;
  }
  model.train();
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  return { natsPerToken: nats / tokens, bitsPerByte: nats / Math.LN2 / bytes };
}
const shown = ({ natsPerToken, bitsPerByte }) =>
  `${natsPerToken.toFixed(3)} nats a token, ${bitsPerByte.toFixed(3)} bits a byte`;

const windows = windowsOf(training);
console.log(
  `${training.length} documents, ${windows.length} windows of ${contextLength} tokens of ${tokenizer.size};`,
  `${(model.parameterCount / 1e6).toFixed(1)} M parameters`,
);
const before = await crossEntropyOf(heldOut);
console.log(`untrained: ${shown(before)}`);

const optimizer = new AdamW(model.parameters(), { betas: [0.9, 0.95], weightDecay: 0.1 });
const warmupSteps = Math.ceil(steps / 20);
const learningRate = cosineSchedule({ peak: quick ? 5e-3 : 2e-3, floor: 1e-4, warmupSteps, steps });
const lengths = windows.map(() => contextLength);
const began = performance.now();
let done = 0;
for (let epoch = 0; done < steps; epoch++) {
  for (const { indices } of bucketedBatches(lengths, { batchSize, seed, epoch })) {
    const loss = step(() => {
      const [ids, input] = batchOf(Array.from(indices, (i) => windows[i]));
      const { loss } = model(ids, input);
      loss.backward();
      optimizer.step({ learningRate: learningRate(done), maxGradNorm: 1 });
      return loss;
    });
    if (++done % Math.ceil(steps / 20) === 0) {
      const perSecond = (done * batchSize * contextLength) / (performance.now() - began);
      console.log(
        `step ${done}/${steps}  loss ${(await loss.item()).toFixed(3)}  ${perSecond.toFixed(1)}k tok/s`,
      );
    }
    if (done === steps) break;
  }
}

const after = await crossEntropyOf(heldOut);
console.log(`${heldOut.length} held-out documents: ${shown(after)}\n`);
await model.savePretrained(out, { tokenizer });

const sampling = { tokenizer, maxNewTokens: quick ? 30 : 150, doSample: true, temperature: 0.8, seed };
for await (const piece of model.stream(border, sampling)) process.stdout.write(piece);
console.log();
if (options.json) console.log(JSON.stringify({ before, after }));
