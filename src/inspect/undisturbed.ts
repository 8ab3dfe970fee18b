import type { AnyModule } from "../nn/module.ts";

/**
 * Runs `body` with the model in evaluation mode, and leaves its modes as they were part by part, so that a part that was
 * frozen stays so.
 *
 * @param options.constant whether its parameters are taken as constants, so that a backward pass touches none of their
 *   gradients
 */
export function undisturbed<T>(model: AnyModule, body: () => T, options: { constant?: boolean } = {}): T {
  const modes = [...modulesIn(model)].map((part) => [part, part.training] as const);
  const trained = options.constant ? model.parameters().filter((p) => p.requiresGrad) : [];
  model.eval();
  for (const p of trained) p.requiresGrad = false;
  try {
    return body();
  } finally {
    for (const p of trained) p.requiresGrad = true;
    for (const [part, training] of modes) part.training = training;
  }
}

function* modulesIn(model: AnyModule): Generator<AnyModule> {
  yield model;
  for (const [, child] of model.children()) yield* modulesIn(child);
}
