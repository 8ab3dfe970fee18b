import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import {
  BertForTokenClassification,
  collator,
  GPT,
  type Logs,
  Trainer,
  type TrainingArguments,
} from "../src/index.ts";
import { camelCase } from "../src/letter-case.ts";
import { temporaryFolder } from "./trainer-cases.ts";

interface Example {
  input_ids: number[];
  labels: number[];
}
interface Run {
  model: "gpt2" | "bert";
  options: Record<string, unknown>;
  history: Record<string, number>[];
  epochs: number;
}

/** What Hugging Face's Trainer reports: see test/golden/make_trainer.py. */
const folder = fileURLToPath(new URL("golden/trainer", import.meta.url));
const golden = JSON.parse(readFileSync(`${folder}/runs.json`, "utf8")) as {
  runs: Record<string, Run>;
  train: Example[];
  eval: Example[];
};

/** A causal model of ours has targets, where Hugging Face's moves its labels on by one. */
const asTargets = ({ input_ids: inputIds, labels }: Example) => ({
  inputIds,
  targets: [...labels.slice(1), -100],
});
const asLabels = ({ input_ids: inputIds, labels }: Example) => ({ inputIds, labels });

const camel = (options: Record<string, unknown>) =>
  Object.fromEntries(
    Object.entries(options).map(([name, value]) => [camelCase(name), value]),
  ) as TrainingArguments;

/** Both sides compute in f32: norms of gradients carry the rounding of every update before. */
const tolerances: Record<string, number> = { grad_norm: 5e-4, learning_rate: 1e-9 };

describe("losses, norms of gradients, learning rates and evaluations are those of Hugging Face's Trainer", () => {
  test.each(Object.entries(golden.runs))("%s", async (_, { model: name, options, history, epochs }) => {
    const isGPT = name === "gpt2";
    const model = isGPT
      ? await GPT.fromPretrained(`${folder}/gpt2`)
      : await BertForTokenClassification.fromPretrained(`${folder}/bert`);
    const as = (example: Example): object => (isGPT ? asTargets(example) : asLabels(example));
    const trainer = new Trainer(model, {
      ...camel(options),
      ...{ trainData: golden.train.map(as), evalData: golden.eval.map(as), collate: collator() as never },
      ...{ outputDir: temporaryFolder(), saveStrategy: "no", evalStrategy: "steps" },
      trainSamplingStrategy: "sequential",
    });
    const result = await trainer.train();
    const ours = trainer.state!.logHistory as Logs[];
    expect(trainer.state!.numTrainEpochs).toBe(epochs);
    const expected = history.slice(0, -1);
    expect(ours.length).toBe(history.length);
    for (const [i, entry] of expected.entries()) {
      for (const [key, value] of Object.entries(entry)) {
        const got = ours[i]![camelCase(key)]!;
        const tolerance = (tolerances[key] ?? 2e-5) * Math.max(1, Math.abs(value));
        expect(Math.abs(got - value), `${key} of step ${entry.step}: ${got}, not ${value}`).toBeLessThan(
          tolerance,
        );
      }
    }
    expect(Math.abs(result.trainLoss - history.at(-1)!.train_loss!)).toBeLessThan(2e-5);
  });
});
