// A GPT from nothing, on any text: `node examples/train.mjs book.txt`
import { readFile } from "node:fs/promises";
import { AdamW, CharTokenizer, cosineSchedule, GPT, step, TokenDataset } from "trainformer";

const text = await readFile(process.argv[2] ?? "book.txt", "utf8");
const tokenizer = CharTokenizer.fromText(text);
const [train, heldOut] = TokenDataset.fromTokens(tokenizer.encode(text)).split(0.9);

const [contextLength, steps, seed] = [64, Number(process.argv[3] ?? 2000), 1337];
const size = { numLayers: 4, numHeads: 4, hiddenSize: 128 };
const model = new GPT({ vocabSize: tokenizer.size, contextLength, ...size, seed });
const optimizer = new AdamW(model.parameters(), { betas: [0.9, 0.99], weightDecay: 0.1 });
const learningRate = cosineSchedule({ peak: 1e-3, floor: 1e-4, warmupSteps: Math.ceil(steps / 20), steps });

for (const { step: i, inputs, targets } of train.batches({ batchSize: 12, contextLength, steps, seed })) {
  const loss = step(() => {
    const { loss } = model(inputs, { targets });
    loss.backward();
    optimizer.step({ learningRate: learningRate(i), maxGradNorm: 1 });
    return loss; // everything else that the step made is freed
  });
  if (i % 100 === 0) console.log("step", i, "loss", await loss.item());
}
console.log("held-out loss", await model.evaluate(heldOut));

const sampling = { tokenizer, maxNewTokens: 200, doSample: true, temperature: 0.8, topK: 40 };
for await (const piece of model.stream(text.slice(0, 8), sampling)) process.stdout.write(piece);
await model.savePretrained("run", { tokenizer });
