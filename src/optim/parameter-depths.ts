import { Embedding } from "../nn/layers.ts";
import type { AnyModule, Parameter } from "../nn/module.ts";

export interface Depths {
  /** Blocks, in all stacks. */
  readonly count: number;
  /** 0 before the first block, its number from 1 within a block, `count + 1` behind the last. */
  readonly of: ReadonlyMap<Parameter, number>;
  /** The parameters within blocks. */
  readonly inBlocks: ReadonlySet<Parameter>;
}

/**
 * How far each parameter is from the input. Blocks are what arrays of modules hold (not those within blocks), in the order
 * in which the model declares them: those of an encoder before those of the decoder. Embeddings have depth 0 wherever they
 * are; what is declared between blocks has that of the block before.
 */
export function depths(model: AnyModule): Depths {
  const of = new Map<Parameter, number>();
  const inBlocks = new Set<Parameter>();
  let count = 0;
  let behindLast: Parameter[] = [];
  const assign = (p: Parameter, depth: number): void => {
    if (!of.has(p)) of.set(p, depth);
  };
  const visit = (module: AnyModule): void => {
    const children = new Map(module.children());
    const below = new Set([...children.values()].flatMap((child) => child.parameters()));
    const direct = module.parameters().filter((p) => !below.has(p));
    for (const p of direct) {
      if (of.has(p)) continue;
      assign(p, module instanceof Embedding ? 0 : count);
      if (!(module instanceof Embedding)) behindLast.push(p);
    }
    for (const [name, child] of children) {
      const isBlock = /\.\d+$/.test(name);
      if (!isBlock) {
        visit(child);
        continue;
      }
      count++;
      behindLast = [];
      for (const p of child.parameters()) {
        assign(p, count);
        inBlocks.add(p);
      }
    }
  };
  visit(model);
  for (const p of behindLast) of.set(p, count + 1);
  return { count, of, inBlocks };
}
