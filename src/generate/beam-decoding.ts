import { ArgumentError } from "../errors.ts";
import { BeamSearch, type Hypothesis } from "./beam-search.ts";
import type { Prompt } from "./plan.ts";
import { logSoftmax } from "./probabilities.ts";
import { randomOf } from "./sampling.ts";
import type { Run } from "./start.ts";

/** The beams of a prompt, in groups that choose one after the other. */
interface Beams {
  readonly prompt: Prompt;
  readonly groups: readonly BeamSearch[];
}

/** Beam search over all prompts at once: for each its `numReturnSequences` best beams, best first. */
export async function searchBeams(run: Run): Promise<Hypothesis[]> {
  const { decoding, options } = run;
  const beams = plant(run);
  let { logits } = run;
  try {
    while (true) {
      for (const { prompt, groups } of beams) advance(run, prompt, groups, logits);
      const open = beams.flatMap(({ groups }) => groups.filter((group) => !group.isDone));
      const running = open.flatMap((group) => group.running);
      if (running.length === 0) break;
      options.signal?.throwIfAborted();
      decoding.reorder(running.map(({ slot }) => slot)); // each beam gets a row of its own, in this order
      let slot = 0;
      for (const group of open) group.running = group.running.map((beam) => ({ ...beam, slot: slot++ }));
      logits = await decoding.next(running.map(({ ids }) => [ids[ids.length - 1]!]));
      options.signal?.throwIfAborted();
    }
  } finally {
    decoding.dispose();
  }
  return beams.flatMap((tree) => harvest(tree, run.config.numReturnSequences));
}

function plant({ prompts, config, options }: Run): Beams[] {
  const { numBeams, numBeamGroups, lengthPenalty, earlyStopping } = config;
  const randoms = randomOf(prompts, options.seed ?? 0, 1);
  return prompts.map((prompt, slot) => {
    const { promptLength, maxLength } = prompt;
    const groups = Array.from({ length: numBeamGroups }, () => {
      return new BeamSearch(prompt.ids, slot, {
        numBeams: numBeams / numBeamGroups,
        numEos: config.eosTokenIds.length,
        lengthPenalty,
        earlyStopping,
        promptLength,
        maxLength,
        random: config.doSample ? randoms[slot] : undefined,
        keepsScores: options.outputScores,
      });
    });
    return { prompt, groups };
  });
}

/** One step of all groups of a prompt, in order, each told what those before it have chosen. */
function advance(run: Run, prompt: Prompt, groups: readonly BeamSearch[], logits: Float32Array): void {
  const { processors, isComplete, decoding } = run;
  const V = decoding.vocabSize;
  const chosen: number[] = [];
  const row = { ...prompt, chosen };
  for (const group of groups) {
    if (group.isDone) continue;
    const rows = group.running.map(({ ids, slot }) => {
      const own = logits.subarray(slot * V, (slot + 1) * V);
      const scores = groups.length > 1 ? own.slice() : own; // groups begin in the same slot
      logSoftmax(scores);
      for (const process of processors) process(ids, scores, row);
      return scores;
    });
    group.advance(rows, (ids) => isComplete(ids, prompt));
    for (const { ids } of group.running) chosen.push(ids[ids.length - 1]!);
  }
}

/** The best complete beams of all groups. */
function harvest({ prompt, groups }: Beams, count: number): Hypothesis[] {
  const best = groups
    .flatMap(({ complete }) => complete)
    .sort((a, b) => b.score - a.score)
    .slice(0, count);
  if (best.length < count) {
    throw new ArgumentError(
      `generate: numReturnSequences must be at most what the options leave possible, ${best.length} for prompt ${prompt.prompt}; got ${count}`,
    );
  }
  return best;
}
