import { defaultDevice } from "../device.ts";
import type { Dtype } from "../dtype.ts";
import { DtypeError } from "../errors.ts";
import { multipliesBf16, settings } from "../native.ts";

let warned = false;

/** Throws unless `dtype` is one in which models compute. Says once if it is slower than f32 on this processor. */
export function checkActivationDtype<T extends Dtype | undefined>(name: string, dtype: T): T {
  if (dtype !== undefined && dtype !== "f32" && dtype !== "bf16") {
    throw new DtypeError(`${name} must be "f32" or "bf16"; got ${String(dtype)}`);
  }
  if (dtype === "bf16" && defaultDevice() === "cpu" && !multipliesBf16() && !warned) {
    warned = true;
    process.emitWarning(
      `${settings.isa} has no instructions for products of bf16: they are computed in f32, which is slower than a model in f32`,
      { type: "TrainformerWarning", code: "WARN_SLOW_BF16" },
    );
  }
  return dtype;
}
