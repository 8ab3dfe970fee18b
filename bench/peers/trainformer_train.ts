/** Training steps of this library, in a process of its own: the other side of train_torch.py. */
import { type Device, deviceNumber, setCudaGraphs, setDefaultDevice } from "../../src/device.ts";
import { info } from "../../src/native.ts";
import { type ModelSize, makeTraining } from "../models.ts";
import { peakBytes, serveTraining } from "./serve.ts";

interface Setup {
  model: ModelSize;
  dtype: "f32" | "bf16";
  device: Device;
  graphs: boolean;
}

await serveTraining(async ({ model, dtype, device, graphs }: Setup) => {
  setDefaultDevice(device);
  setCudaGraphs(graphs);
  const step = makeTraining(model, dtype);
  const number = deviceNumber(device);
  return {
    version: "",
    trainStep: () => step().item(),
    peakBytes: number === 0 ? peakBytes : () => info().devices[number]!.memory.peakBytes,
  };
});
