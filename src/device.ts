import { ArgumentError } from "./errors.ts";
import { configureDevice, openCuda, openMeta } from "./native.ts";

/**
 * Where tensors live and are computed: `"cuda"` is the first GPU, `"cuda:1"` the second. On `"meta"` they have shapes
 * but no elements: nothing is computed, no memory is taken, and `memory("meta")` tells what would have been.
 */
export type Device = "cpu" | "cuda" | `cuda:${number}` | "meta";

const pattern = /^(?:cpu|meta|cuda(?::(?:0|[1-9]\d*))?)$/;

export const isDevice = (name: unknown): name is Device => typeof name === "string" && pattern.test(name);

/** The devices in use, with the numbers that the addon has for them. */
const opened = new Map<Device, number>([["cpu", 0]]);

/** What was set for every CUDA device, those in use and those to come. */
const settings = new Map<string, number>();

function configureAll(name: string, value: number): void {
  settings.set(name, value);
  for (const number of acceleratorNumbers()) configureDevice(number, name, value);
}

function open(name: Device): void {
  if (name === "meta") {
    opened.set(name, openMeta());
    return;
  }
  const number = openCuda(name, Number(name.split(":")[1] ?? 0));
  for (const [setting, value] of settings) configureDevice(number, setting, value);
  opened.set(name, number);
}

/**
 * Checks that a device is there, and makes it ready.
 *
 * @returns its name; `"cuda:0"` is called `"cuda"`
 * @throws ERR_NO_DEVICE saying what was looked for, what was found and what to do
 */
export function device(name: Device): Device {
  if (!isDevice(name)) {
    throw new ArgumentError(
      `device: name must be "cpu", "cuda", "cuda:<number>" or "meta"; got ${String(name)}`,
    );
  }
  const known: Device = name === "cuda:0" ? "cuda" : name;
  if (!opened.has(known)) open(known);
  return known;
}

/** @internal The number that the addon has for a device. */
export const deviceNumber = (name: Device): number => opened.get(name) ?? deviceNumber(device(name));

/** @internal The devices in use, with their numbers. */
export const openedDevices = (): ReadonlyMap<Device, number> => opened;

/** @internal Those in use that compute, beside the processor. */
export const acceleratorNumbers = (): number[] =>
  [...opened].filter(([name]) => name !== "cpu" && name !== "meta").map(([, number]) => number);

let metaIsProcessor = true;

/** @internal Whether a device works by the rules of the processor; "meta" has those of what it stands for. */
export const isProcessor = (name: Device): boolean => name === "cpu" || (name === "meta" && metaIsProcessor);

/** @internal Makes "meta" stand for another device while `body` runs, and be where tensors are made. */
export function onMeta<T>(standsFor: Device, body: () => T): T {
  const before = [metaIsProcessor, standard] as const;
  device("meta");
  [metaIsProcessor, standard] = [standsFor === "cpu", "meta"];
  try {
    return body();
  } finally {
    [metaIsProcessor, standard] = before;
  }
}

/** @internal Whether steps are recorded as CUDA graphs. */
export const usesCudaGraphs = (): boolean => settings.get("graphs") === 1;

let standard: Device = "cpu";

/** Where tensors are made that are not computed from others, unless told otherwise: `"cpu"` at first. */
export const defaultDevice = (): Device => standard;

/**
 * Makes new tensors, and the parameters of new modules, live on `name`.
 *
 * @throws ERR_NO_DEVICE
 */
export function setDefaultDevice(name: Device): void {
  standard = device(name);
}

/**
 * How exactly CUDA multiplies matrices of f32 on tensor cores, which take no f32:
 *
 * - `"high"` (default): each number as the sum of two in bf16, three products for one. Relative error about 5e-6.
 * - `"highest"`: each number as the sum of two in tf32. As exact as f32 (1e-6), at twice the time.
 *
 * The processor always multiplies in f32. Names as in PyTorch's `set_float32_matmul_precision`.
 */
export type MatmulPrecision = "high" | "highest";

/** Sets the precision of products in f32 on every CUDA device. */
export function setFloat32MatmulPrecision(precision: MatmulPrecision): void {
  if (precision !== "high" && precision !== "highest") {
    throw new ArgumentError(
      `setFloat32MatmulPrecision: precision must be "high" or "highest"; got ${String(precision)}`,
    );
  }
  configureAll("strict", precision === "highest" ? 1 : 0);
}

/**
 * Whether the work of a `step()` on CUDA devices is recorded as a CUDA graph and launched as one; a step with the same
 * shapes as an earlier one takes over its graph. Saves the time between launches where kernels are short. Default off.
 */
export function setCudaGraphs(on: boolean): void {
  configureAll("graphs", on ? 1 : 0);
}

if (process.env.TRAINFORMER_DEVICE) setDefaultDevice(process.env.TRAINFORMER_DEVICE as Device);
