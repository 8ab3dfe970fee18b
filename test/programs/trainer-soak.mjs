/**
 * Trains a tiny model for as many updates as the second argument says, with evaluations, logs and checkpoints in the
 * folder of the first, while a timer of 10 ms tells how late it comes. Prints the resident memory after 1,000 of them and at
 * the end, tensors alive, and the lag of the timer in ms, as JSON.
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
  if (state.globalStep !== 1000 && state.globalStep !== maxSteps) return;
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
console.log(JSON.stringify({ samples, lag, seconds: trainRuntime }));
