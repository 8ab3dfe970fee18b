import os from "node:os";
import { type Device, defaultDevice, deviceNumber } from "../device.ts";
import { info } from "../native.ts";

/**
 * Bytes that are free on a device, to compare with an estimate: of the machine now; of a GPU as this process found it, less
 * what its tensors have taken since.
 *
 * @throws ERR_NO_DEVICE
 */
export function availableMemory(device: Device = defaultDevice()): number {
  if (device === "meta") return Number.POSITIVE_INFINITY;
  if (device === "cpu") return os.freemem();
  const { freeBytes, memory } = info().devices[deviceNumber(device)]!;
  return Math.max(0, freeBytes! - memory.reservedBytes);
}
