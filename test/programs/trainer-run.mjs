/**
 * Trains a tiny model in the folder of the first argument, from its newest checkpoint on, for as many updates as the
 * second says. Prints "step" with the first update and, at the end, its losses and a digest of its weights as JSON.
 */
import { createHash } from "node:crypto";
import { collator, GPT, Trainer } from "trainformer";

const [outputDir, maxSteps] = [process.argv[2], Number(process.argv[3])];
const rows = Array.from({ length: 50 }, (_, n) =>
  Array.from({ length: 9 }, (_, t) => (n * 5 + t * t + 3) % 11),
);
const trainData = rows.map((row) => ({ inputIds: row.slice(0, -1), targets: row.slice(1) }));
const size = { numLayers: 2, numHeads: 2, hiddenSize: 16, dropout: 0.1, seed: 5 };
const model = new GPT({ vocabSize: 11, contextLength: 8, ...size });
const trainer = new Trainer(model, {
  ...{ trainData, evalData: trainData.slice(0, 8), collate: collator(), outputDir, maxSteps },
  ...{ perDeviceTrainBatchSize: 4, gradientAccumulationSteps: 2, learningRate: 3e-3, warmupRatio: 0.1 },
  ...{ loggingSteps: 1, evalSteps: 10, saveSteps: 5, saveTotalLimit: 2, emaDecay: 0.9 },
  callbacks: [{ onStepEnd: () => void process.stdout.write("step\n") }],
});
const { globalStep } = await trainer.train({ resumeFromCheckpoint: "auto" });

const digest = createHash("sha256");
for (const p of model.parameters()) digest.update(await p.toTypedArray());
const losses = trainer.state.logHistory.flatMap(({ step, loss, evalLoss }) =>
  loss === undefined && evalLoss === undefined ? [] : [[step, loss ?? evalLoss]],
);
console.log(JSON.stringify({ globalStep, weights: digest.digest("hex"), losses }));
