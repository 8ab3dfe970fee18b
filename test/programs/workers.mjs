/** Trains the same model in the main thread and in four workers at once. Prints each one's losses as JSON. */
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { AdamW, GPT, manualSeed, randn, step, tensor } from "trainformer";

async function train() {
  const model = new GPT({
    ...{ vocabSize: 40, contextLength: 16, numLayers: 2, numHeads: 2, hiddenSize: 48, seed: 3 },
    dropout: 0.1,
  });
  const optimizer = new AdamW(model.parameters(), { learningRate: 1e-3 });
  manualSeed(5);
  const ids = Int32Array.from({ length: 4 * 17 }, (_, i) => (i * i) % 40);
  const rows = (from) => Int32Array.from({ length: 64 }, (_, i) => ids[17 * (i >> 4) + (i & 15) + from]);
  const losses = [];
  for (let i = 0; i < 20; i++) {
    const { loss } = step(() => {
      const { loss } = model(tensor(rows(0), [4, 16]), { targets: tensor(rows(1), [4, 16]) });
      loss.backward();
      optimizer.step();
      return { loss };
    });
    losses.push(await loss.item());
  }
  const noise = await randn([1000]).data();
  return [...losses, ...noise];
}

if (isMainThread) {
  const others = Array.from({ length: 4 }, () => {
    const worker = new Worker(new URL(import.meta.url));
    return new Promise((resolve, reject) => worker.on("message", resolve).on("error", reject));
  });
  console.log(JSON.stringify(await Promise.all([train(), ...others])));
} else {
  parentPort.postMessage(await train());
}
