import type { AnyModule } from "../nn/module.ts";
import { listed, matchingParameters } from "./parameter-names.ts";

/**
 * Takes parameters out of training: no gradient is computed for them, and optimizers leave them as they are.
 *
 * ```ts
 * freeze(model, ["bert.*"]); // only what is behind the encoder is trained
 * ```
 *
 * @param globs names of parameters, `*` for any characters; default all
 * @returns the names of what is frozen
 * @throws ERR_ARGUMENT for a glob that matches no parameter
 */
export function freeze(model: AnyModule, globs: string | readonly string[] = "*"): string[] {
  const matching = matchingParameters("freeze", model, listed(globs));
  for (const [, p] of matching) {
    p.requiresGrad = false;
    p.gradient = undefined;
  }
  return matching.map(([name]) => name);
}

/**
 * Takes parameters back into training. An optimizer that was made while they were frozen does not know them:
 * `optimizer.addParameterGroup({ parameters })` tells it.
 *
 * @param globs names of parameters, `*` for any characters; default all
 * @returns the names of what is trained from here on
 * @throws ERR_ARGUMENT for a glob that matches no parameter
 */
export function unfreeze(model: AnyModule, globs: string | readonly string[] = "*"): string[] {
  const matching = matchingParameters("unfreeze", model, listed(globs));
  for (const [, p] of matching) p.requiresGrad = true;
  return matching.map(([name]) => name);
}
