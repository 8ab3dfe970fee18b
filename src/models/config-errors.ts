import { CheckpointError, TrainformerError } from "../errors.ts";
import type { Checkpoint } from "../io/checkpoint.ts";
import type { Settings } from "../io/json.ts";

const layerCounts = [
  ...["num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_decoder_layers"],
  ...["encoder_layers", "decoder_layers"],
];

/**
 * A layer has a tensor at least: a configuration with more layers than the checkpoint has tensors is of another one, or
 * broken, and building that model could take forever.
 */
function checkLayerCounts(config: Settings, checkpoint: Checkpoint): void {
  const tensors = [...checkpoint.names()].length;
  for (const key of layerCounts) {
    if ((config.values[key] as number) > tensors)
      config.fail(key, `at most ${tensors}, the number of tensors in ${checkpoint.source}`);
  }
}

/**
 * Builds a model from a configuration that was read: what its constructor says of an argument is an error of the file.
 *
 * @throws ERR_CHECKPOINT
 */
export function builtFrom<M>(config: Settings, checkpoint: Checkpoint, build: () => M): M {
  checkLayerCounts(config, checkpoint);
  try {
    return build();
  } catch (cause) {
    if (!(cause instanceof TrainformerError) || cause.code !== "ERR_ARGUMENT") throw cause;
    throw new CheckpointError(`${config.source}: ${cause.message}`, { cause });
  }
}
