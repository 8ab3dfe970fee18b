/**
 * Trains a tiny model for as many updates as the second argument says, with evaluations, logs and checkpoints in the
 * folder of the first, while a timer of 10 ms tells how late it comes. Prints, as JSON, resident memory and tensors alive
 * in the first and in the last quarter of what follows the 1,000th update, and the lag of the timer in ms. Resident memory
 * goes up and down by a tenth with every collection: it is the mean of many looks.
 */
import { collator, GPT, memory, metrics, Trainer } from "trainformer";

const [outputDir, maxSteps] = [process.argv[2], Number(process.argv[3])];
const rows = Array.from({ length: 64 }, (_, n) =>
  Array.from({ length: 17 }, (_, t) => (n * 5 + t * t + 3) % 11),
);
const trainData = rows.map((row) => ({ inputIds: row.slice(0, -1), targets: row.slice(1) }));
const size = { numLayers: 2, numHeads: 2, hiddenSize: 32, dropout: 0.1, seed: 5 };
const model = new GPT({ vocabSize: 11, contextLength: 16, ...size });

const lags = [];
let due = performance.now() + 10;
const timer = setInterval(() => {
  const now = performance.now();
  lags.push(Math.max(0, now - due));
  due = now + 10;
}, 10);

const samples = [];
const sample = ({ state }) => {
  if (state.globalStep < 1000 || state.globalStep % 20 !== 0) return;
  globalThis.gc?.();
  samples.push({ rss: process.memoryUsage.rss(), tensors: memory().tensors });
};
const trainer = new Trainer(model, {
  ...{
    trainData,
    evalData: trainData,
    collate: collator(),
    outputDir,
    maxSteps,
    metrics: [metrics.accuracy()],
  },
  ...{ perDeviceTrainBatchSize: 4, gradientAccumulationSteps: 2, learningRate: 1e-3, reportTo: ["jsonl"] },
  ...{
    loggingSteps: 50,
    evalSteps: maxSteps / 20,
    saveSteps: maxSteps / 20,
    saveTotalLimit: 2,
    emaDecay: 0.99,
  },
  callbacks: [{ onStepEnd: sample }],
});
const { trainRuntime } = await trainer.train();
clearInterval(timer);
lags.sort((a, b) => a - b);
const at = (share) => lags[Math.min(lags.length - 1, Math.floor(lags.length * share))];
const lag = { p50: at(0.5), p99: at(0.99), max: at(1), ticks: lags.length };
const quarter = Math.floor(samples.length / 4);
const mean = (list) => list.reduce((sum, { rss }) => sum + rss, 0) / list.length;
const early = { rss: mean(samples.slice(0, quarter)), tensors: samples[0].tensors };
const late = { rss: mean(samples.slice(-quarter)), tensors: samples.at(-1).tensors };
console.log(JSON.stringify({ samples: [early, late], lag, seconds: trainRuntime }));
