import { ArgumentError, TrainformerError } from "./errors.ts";

/** Where tensors live and are computed. */
export type Device = "cpu" | "cuda";

export const isDevice = (name: unknown): name is Device => name === "cpu" || name === "cuda";

/**
 * Checks that a device is there.
 *
 * @throws ERR_NO_DEVICE saying what was looked for and what to do
 */
export function device(name: Device): Device {
  if (!isDevice(name)) throw new ArgumentError(`device: name must be "cpu" or "cuda"; got ${String(name)}`);
  if (name === "cuda") {
    throw new TrainformerError("ERR_NO_DEVICE", 'device "cuda": this build has no CUDA backend; use "cpu"');
  }
  return name;
}
