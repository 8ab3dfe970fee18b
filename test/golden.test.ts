import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { checkpointOf } from "../src/io/checkpoint.ts";
import { readSafetensors } from "../src/io/safetensors.ts";
import { GPT, type GPTConfig } from "../src/models/gpt.ts";
import { loadCheckpoint, partsOf } from "../src/models/layout.ts";
import { AdamW } from "../src/optim/adamw.ts";
import { tensor } from "../src/tensor.ts";
import { step } from "../src/train/step.ts";
import "../src/functional.ts";
import { relativeError } from "./golden-folder.ts";
import { type Variant, variants } from "./variants.ts";

/** A toy GPT-2 of PyTorch: weights, logits, loss, gradients and ten AdamW steps, from test/golden/make_gpt.py. */
const { tensors } = await readSafetensors(fileURLToPath(new URL("golden/gpt.safetensors", import.meta.url)));
const golden = (name: string) => tensors.get(name)!;
const weights = new Map(
  [...tensors]
    .filter(([name]) => name.startsWith("weights."))
    .map(([name, t]) => [name.slice("weights.".length), t]),
);
const [vocabSize, hiddenSize] = weights.get("transformer.wte.weight")!.shape as [number, number];
const config: GPTConfig = { vocabSize, hiddenSize, contextLength: 16, numLayers: 2, numHeads: 4 };
/** Products of f32 as sums of bf16 are less exact. */
const toleranceOf = ({ splits }: Variant): number => (splits ? 1e-4 : 1e-5);

function goldenModel() {
  const model = new GPT(config);
  loadCheckpoint(model, checkpointOf(weights, "golden"), model.layout());
  const [inputs, targets] = ["inputs", "targets"].map((name) =>
    tensor(golden(name).data, golden(name).shape),
  );
  return { model, inputs: inputs!, targets: targets! };
}

for (const variant of variants) {
  if (!variant.dtypes.includes("f32")) continue;
  const relative = toleranceOf(variant);

  test(`logits, loss and gradients equal PyTorch's (${variant.name})`, async () => {
    variant.select();
    const { model, inputs, targets } = goldenModel();
    const { logits, loss } = model(inputs, { targets });
    loss.backward();
    expect(relativeError(await logits.toTypedArray(), golden("logits").data)).toBeLessThan(relative);
    expect(relativeError([await loss.item()], golden("loss").data)).toBeLessThan(relative);
    for (const [name, parameter] of model.namedParameters()) {
      const { name: theirs, transposed } = partsOf(name, parameter, model.layout().names)[0]!;
      const gradient = transposed ? parameter.grad!.T : parameter.grad!;
      const expected = golden(`gradients.${theirs}`);
      expect(gradient.shape, theirs).toEqual(expected.shape);
      expect(relativeError(await gradient.toTypedArray(), expected.data), theirs).toBeLessThan(relative);
    }
  });

  test(`ten AdamW steps with clipping equal PyTorch's (${variant.name})`, async () => {
    variant.select();
    const { model, inputs, targets } = goldenModel();
    const optimizer = new AdamW(model.parameters(), {
      learningRate: 1e-3,
      betas: [0.9, 0.95],
      weightDecay: 0.1,
    });
    for (let i = 0; i < 10; i++) {
      const { loss, gradNorm } = step(() => {
        const { loss } = model(inputs, { targets });
        loss.backward();
        return { loss, ...optimizer.step({ maxGradNorm: 1 }) };
      });
      expect(relativeError([await loss.item()], [golden("adamwLosses").data[i]!]), `loss ${i}`).toBeLessThan(
        relative,
      );
      expect(
        relativeError([await gradNorm.item()], [golden("gradNorms").data[i]!]),
        `norm ${i}`,
      ).toBeLessThan(relative);
    }
  });
}
