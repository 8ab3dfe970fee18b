import { ArgumentError } from "../errors.ts";
import { Embedding } from "../nn/layers.ts";
import type { AnyModule, Parameter } from "../nn/module.ts";
import { Adafactor, type AdafactorOptions } from "./adafactor.ts";
import { Adam, type AdamOptions } from "./adam.ts";
import { AdamW, type AdamWOptions } from "./adamw.ts";
import type { FlatOptimizer } from "./flat-optimizer.ts";
import { Lion, type LionOptions } from "./lion.ts";
import { Muon, type MuonOptions } from "./muon.ts";
import type { Optimizer, ParameterGroup } from "./optimizer.ts";
import { OptimizerList } from "./optimizer-list.ts";
import { depths } from "./parameter-depths.ts";
import { type ParameterGroupOptions, parameterGroups } from "./parameter-groups.ts";
import { SGD, type SGDOptions } from "./sgd.ts";

/** The options of each optimizer, by its name. */
export interface OptimizerOptions {
  adamw: AdamWOptions;
  adam: AdamOptions;
  sgd: SGDOptions;
  adafactor: AdafactorOptions;
  lion: LionOptions;
  /** `adamw`: betas, eps and amsgrad of the parameters that are no hidden matrices. */
  muon: MuonOptions & { adamw?: Omit<AdamWOptions, "learningRate" | "weightDecay"> };
}

export type OptimizerName = keyof OptimizerOptions;

type Groups = ParameterGroup[];
type Maker<O> = (model: AnyModule, groups: Groups, options: O) => Optimizer;

const makers: { readonly [K in OptimizerName]: Maker<OptimizerOptions[K]> } = {
  adamw: (_, groups, options) => new AdamW(groups, options),
  adam: (_, groups, options) => new Adam(groups, options),
  sgd: (_, groups, options) => new SGD(groups, options),
  adafactor: (_, groups, options) => new Adafactor(groups, options),
  lion: (_, groups, options) => new Lion(groups, options),
  muon: muonWithAdamW,
};

/** All that `makeOptimizer` knows. */
export const optimizerNames = Object.keys(makers) as readonly OptimizerName[];

/** Matrices within the blocks of a model, without embeddings. */
function hiddenMatrices(model: AnyModule): Set<Parameter> {
  const { inBlocks } = depths(model);
  const hidden = new Set([...inBlocks].filter((p) => p.rank === 2));
  const visit = (module: AnyModule): void => {
    if (module instanceof Embedding) hidden.delete(module.weight);
    for (const [, child] of module.children()) visit(child);
  };
  visit(model);
  return hidden;
}

function muonWithAdamW(model: AnyModule, groups: Groups, options: OptimizerOptions["muon"]): Optimizer {
  const { adamw = {}, ...muon } = options;
  const hidden = hiddenMatrices(model);
  const part = (isHidden: boolean): Groups =>
    groups
      .map((group) => ({
        ...group,
        parameters: [...group.parameters].filter((p) => hidden.has(p) === isHidden),
      }))
      .filter(({ parameters }) => parameters.length > 0);
  const [matrices, others] = [part(true), part(false)];
  if (matrices.length === 0) {
    throw new ArgumentError(
      "makeOptimizer: muon trains the matrices within blocks, that is modules in an array; the model has none that are trained",
    );
  }
  const { learningRate = 1e-3 } = muon;
  // biome-ignore lint/suspicious/noExplicitAny: whatever their options are
  const members: FlatOptimizer<any>[] = [
    new Muon(matrices, { adjustLrFn: "match_rms_adamw", ...muon, learningRate }),
  ];
  if (others.length > 0) members.push(new AdamW(others, { ...adamw, learningRate }));
  return new OptimizerList(members);
}

const without = <T extends object>(options: T, ...names: string[]): T =>
  Object.fromEntries(Object.entries(options).filter(([name]) => !names.includes(name))) as T;

/**
 * An optimizer of all parameters of a model, by name: adamw, adam, sgd, adafactor, lion or muon, with the groups of
 * `parameterGroups` (weight decay as in Hugging Face's Trainer, rates by name or by depth).
 *
 * Adafactor with a learning rate scales nothing by itself (`scaleParameter` and `relativeStep` default to false then), as
 * in Hugging Face's Trainer. Muon has the matrices within blocks, AdamW the rest; one learning rate serves both
 * (`adjustLrFn` defaults to "match_rms_adamw").
 *
 * @throws ERR_ARGUMENT for an unname name, and what the optimizer and parameterGroups refuse
 */
export function makeOptimizer<N extends OptimizerName>(
  name: N,
  model: AnyModule,
  options: OptimizerOptions[N] & ParameterGroupOptions = {} as OptimizerOptions[N],
): Optimizer {
  if (!Object.hasOwn(makers, name)) {
    throw new ArgumentError(
      `makeOptimizer: name must be one of ${optimizerNames.join(", ")}; got ${String(name)}`,
    );
  }
  const own = without(options as ParameterGroupOptions, "weightDecay", "learningRates", "layerDecay");
  const groups = parameterGroups(model, options);
  const isPlain = name === "adafactor" && options.learningRate !== undefined;
  const rule = isPlain ? { scaleParameter: false, relativeStep: false, ...own } : own;
  return (makers[name] as Maker<object>)(model, groups, rule);
}
