import { ArgumentError, checkNumber } from "../errors.ts";
import { LayerNorm, RMSNorm } from "../nn/layers.ts";
import { type AnyModule, Module, type Parameter } from "../nn/module.ts";
import type { ParameterGroup } from "./optimizer.ts";
import { depths } from "./parameter-depths.ts";
import { matcher, matchingParameters } from "./parameter-names.ts";

export interface ParameterGroupOptions {
  /** Of what is decayed at all. Default 0. */
  weightDecay?: number;
  /** Of everything that nothing below changes. Needed by multipliers and `layerDecay`. Default the optimizer's. */
  learningRate?: number;
  /**
   * Learning rates of parameters by globs of their names (`*` for any characters), or multipliers of `learningRate`. The
   * first glob that matches counts.
   */
  learningRates?: Readonly<Record<string, number | { readonly multiplier: number }>>;
  /**
   * Multiplies the learning rate by `layerDecay^(L + 1 − d)`: d is 0 for embeddings, 1 … L for the blocks in their order and
   * L + 1 for what follows them, so that what is nearer to the head learns faster. Default 1.
   */
  layerDecay?: number;
}

/** The parameters that are not decayed: of layer norms and RMS norms, and whatever is named a bias or a norm. */
function undecayed(model: AnyModule): Set<Parameter> {
  const found = new Set<Parameter>();
  const isNamedSo = /bias|layernorm|rmsnorm|(^|\.)(\w*_)?norm(\.|$)/;
  for (const [name, p] of model.namedParameters()) if (isNamedSo.test(name.toLowerCase())) found.add(p);
  const visit = (module: AnyModule): void => {
    if (module instanceof LayerNorm || module instanceof RMSNorm)
      for (const p of module.parameters()) found.add(p);
    for (const [, child] of module.children()) visit(child);
  };
  visit(model);
  return found;
}

/**
 * The parameters of a model in groups for an optimizer, each once:
 *
 * - not decayed, as in Hugging Face's Trainer: layer norms and RMS norms, biases, relative position biases, and whatever
 *   has `bias`, `layernorm`, `rmsnorm` or a part `norm` in its name; embeddings are decayed
 * - with learning rates of their own, by name or by depth
 *
 * ```ts
 * const groups = parameterGroups(model, { learningRate: 5e-5, weightDecay: 0.01, layerDecay: 0.9 });
 * const optimizer = new AdamW(groups, { learningRate: 5e-5 });
 * ```
 *
 * Frozen parameters are left out.
 *
 * @throws ERR_ARGUMENT for a glob that matches no parameter, and for options outside their range
 * @see Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification" (discriminative rates)
 */
export function parameterGroups(model: AnyModule, options: ParameterGroupOptions = {}): ParameterGroup[] {
  const where = "parameterGroups";
  const { learningRate, learningRates = {} } = options;
  if (!(model instanceof Module))
    throw new ArgumentError(`${where}: model must be a Module; got ${typeof model}`);
  const weightDecay = checkNumber(`${where}: weightDecay`, options.weightDecay ?? 0, 0);
  const layerDecay = checkNumber(`${where}: layerDecay`, options.layerDecay ?? 1, 0, 1);
  if (learningRate !== undefined) checkNumber(`${where}: learningRate`, learningRate, 0);
  const rules = Object.entries(learningRates).map(([glob, rate]) => {
    const value = typeof rate === "number" ? rate : rate.multiplier;
    checkNumber(`${where}: learningRates["${glob}"]`, value, 0);
    return { matches: matcher(glob), rate };
  });
  matchingParameters(where, model, Object.keys(learningRates));
  const depthOf = layerDecay === 1 ? undefined : depths(model);
  const rateOf = (name: string, p: Parameter): number | undefined => {
    const rate = rules.find(({ matches }) => matches(name))?.rate;
    const above = depthOf === undefined ? 0 : depthOf.count + 1 - depthOf.of.get(p)!;
    const factor = layerDecay ** above;
    if (typeof rate === "number") return rate * factor;
    if (rate === undefined && depthOf === undefined) return learningRate;
    if (learningRate === undefined)
      throw new ArgumentError(`${where}: learningRate must be given with multipliers and layerDecay`);
    return learningRate * (rate?.multiplier ?? 1) * factor;
  };
  const excluded = undecayed(model);
  const groups = new Map<string, { parameters: Parameter[]; weightDecay: number; learningRate?: number }>();
  for (const [name, p] of model.namedParameters()) {
    if (!p.requiresGrad) continue;
    const rate = rateOf(name, p);
    const decay = excluded.has(p) ? 0 : weightDecay;
    const key = `${decay} ${rate}`;
    const group = groups.get(key);
    if (group !== undefined) group.parameters.push(p);
    else
      groups.set(key, {
        parameters: [p],
        weightDecay: decay,
        ...(rate === undefined ? {} : { learningRate: rate }),
      });
  }
  return [...groups.values()];
}
