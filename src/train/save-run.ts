import path from "node:path";
import { exists } from "../io/files.ts";
import { writeJSON } from "../io/json.ts";
import { snakeCase } from "../letter-case.ts";
import { checkpointName, pruneCheckpoints, writeFolder } from "./checkpoint-folder.ts";
import { writeProgress } from "./resume-file.ts";
import { type SavedTokenizer, saveModel, saveTensors } from "./saved-tensors.ts";
import { stateToJSON } from "./trainer-state.ts";
import type { TrainingRun } from "./training-run.ts";

// A checkpoint:
//
//   model.safetensors, config.json, tokenizer.json …   the model, as Hugging Face reads it
//   trainer_state.json                                  step, epoch, history, the best so far; Hugging Face's names
//   training_args.json                                  the options
//   optimizer.safetensors, ema.safetensors              tensors, and in the metadata what else belongs to them
//   resume.json                                         random numbers, place in the data, losses not logged yet, schedule

/**
 * Saves a run as `checkpoint-{step}` of `outputDir`, and then removes the oldest ones that are too many.
 *
 * @returns the folder
 * @throws ERR_CHECKPOINT
 */
export async function saveRun(
  run: TrainingRun,
  outputDir: string,
  tokenizer: SavedTokenizer | undefined,
): Promise<string> {
  const progress = await run.settled();
  const { model, all, plan, state, optimizer, average, callbacks } = run.parts;
  const folder = path.join(outputDir, checkpointName(state.globalStep));
  if (state.bestGlobalStep !== undefined) {
    const best = path.join(outputDir, checkpointName(state.bestGlobalStep));
    if (best === folder || (await exists(best))) state.bestModelCheckpoint = best;
  }
  const remembered = callbacks.flatMap((callback) =>
    callback.stateDict ? [[callback.constructor.name, callback.stateDict()] as const] : [],
  );
  const json = stateToJSON(state, plan, all, Object.fromEntries(remembered));
  await writeFolder(folder, async (into) => {
    await saveModel(into, model, tokenizer);
    await writeJSON(path.join(into, "trainer_state.json"), json);
    const options = Object.entries(all).map(([name, value]) => [snakeCase(name), value ?? null]);
    await writeJSON(path.join(into, "training_args.json"), Object.fromEntries(options));
    if (all.saveOnlyModel) return;
    await saveTensors(path.join(into, "optimizer.safetensors"), optimizer.stateDict());
    if (average) await saveTensors(path.join(into, "ema.safetensors"), average.stateDict());
    await writeProgress(into, progress, all);
  });
  run.savedStep = state.globalStep;
  await run.emit("onSave", { folder });
  if (all.saveTotalLimit !== undefined)
    await pruneCheckpoints(outputDir, all.saveTotalLimit, keptOf(run, folder));
  return folder;
}

/** The newest checkpoint and the best one stay. */
export function keptOf(run: TrainingRun, newest: string | undefined): Set<string> {
  const { bestModelCheckpoint } = run.parts.state;
  return new Set([newest, bestModelCheckpoint].flatMap((folder) => (folder ? [path.resolve(folder)] : [])));
}
