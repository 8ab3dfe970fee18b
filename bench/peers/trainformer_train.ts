/** Training steps of this library, in a process of its own: the other side of train_torch.py. */
import { type ModelSize, makeTraining } from "../models.ts";
import { serveTraining } from "./serve.ts";

interface Setup {
  model: ModelSize;
  dtype: "f32" | "bf16";
}

await serveTraining(async ({ model, dtype }: Setup) => {
  const step = makeTraining(model, dtype);
  return { version: "", trainStep: () => step().item() };
});
