import { noGrad } from "../autograd.ts";
import { scope } from "../memory.ts";
import type { AnyModule } from "../nn/module.ts";

/** Runs `body` with the model in evaluation mode, records nothing, and frees what it made but its result. */
export function evaluating<T>(model: AnyModule, body: () => T): T {
  const wasTraining = model.training;
  model.eval();
  try {
    return scope(() => noGrad(body));
  } finally {
    model.train(wasTraining);
  }
}
