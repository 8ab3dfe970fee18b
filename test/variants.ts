import {
  type Device,
  defaultDevice,
  type MatmulPrecision,
  setFloat32MatmulPrecision,
} from "../src/device.ts";
import { configure, info } from "../src/native.ts";

export type Precision = "f32" | "bf16";

const isaNames = (supported: boolean): string[] =>
  info()
    .isas.filter((isa) => isa.supported === supported)
    .map((isa) => isa.name);
export const missingIsas = isaNames(false);

/** A way to compute: an instruction set of the processor, or a device in one of its modes. */
export interface Variant {
  readonly name: string;
  readonly device: Device;
  select(): void;
  readonly dtypes: readonly Precision[];
  /** Whether it multiplies matrices of f32 as sums of bf16. */
  readonly splits?: boolean;
}

const onProcessor = (name: string): Variant => ({
  name,
  device: "cpu",
  select: () => configure("isa", name),
  dtypes: name === "avx512bf16" || name === "amx" ? ["bf16"] : ["f32", "bf16"],
});

const inPrecision = (device: Device, precision: MatmulPrecision, dtypes: Precision[]): Variant => ({
  name: `${device} ${precision}`,
  device,
  select: () => setFloat32MatmulPrecision(precision),
  dtypes,
  splits: precision === "high",
});

/** On a default device, that one; else the processor with each of its instruction sets. */
const device = defaultDevice();
export const variants: readonly Variant[] =
  device === "cpu"
    ? isaNames(true).map(onProcessor)
    : [inPrecision(device, "high", ["f32", "bf16"]), inPrecision(device, "highest", ["f32"])];
/** What the others must agree with. */
export const yardstick = device === "cpu" ? variants[0]! : onProcessor(info().isa);
