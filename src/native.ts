import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { Dtype, DtypeArray } from "./dtype.ts";
import { DtypeError, type ErrorCode, ShapeError, TrainformerError } from "./errors.ts";

/** How the addon reads: a view shares the tensor's memory, a copy does not, and `sync` waits for the queue. */
export const readMode = { view: 0, copy: 1, sync: 2 } as const;

const dtypeNumber: Readonly<Record<Dtype, number>> = { f32: 0, bf16: 1, i32: 2 };

interface Info {
  isa: string;
  isas: { name: string; supported: boolean; multipliesBf16: boolean }[];
  threads: number;
  cores: number;
  externalBuffers: boolean;
  kernels: { name: string; parameters: { name: string; type: string; rank: number }[] }[];
  tensors: number;
  /** The processor, and after it what was opened, by number. */
  devices: DeviceInfo[];
  words: Float64Array;
}

export interface DeviceInfo {
  memory: { liveBytes: number; peakBytes: number; reservedBytes: number };
  name?: string;
  index?: number;
  /** Compute capability, 10 · major + minor. */
  capability?: number;
  multiprocessors?: number;
  memoryBytes?: number;
  freeBytes?: number;
  /** 1000 · major + 10 · minor */
  driverVersion?: number;
  runtimeVersion?: number;
  emulated?: boolean;
  /** Steps launched as CUDA graphs: by one that was there already, and by a new one. */
  steps?: { replayed: number; recorded: number };
}

interface Addon {
  info(): Info;
  open(path?: string, index?: number): number;
  configure(name: string, value: unknown, device?: number): void;
  alloc(dtype: number, length: number, device: number): number;
  copy(from: number, fromOffset: number, to: number, toOffset: number, length: number): void;
  step(device: number, begins: boolean): void;
  adopt(data: DtypeArray): number;
  free(handle: number): void;
  write(handle: number, offset: number, data: DtypeArray): void;
  read(handle: number, offset: number, length: number, mode: number): Promise<ArrayBuffer> | ArrayBuffer;
  call(kernel: number, dtype: number, count: number): void;
  map(file: number, position: number, length: number): ArrayBuffer | undefined;
  resetPeak(device: number): void;
  record(on: true): number;
  record(on: false): Recorded;
  text: NativeText;
}

/** Calls in the order in which they were made; see `record` in native/addon.cc. */
export interface Recorded {
  /** For each call eight fields, of which the last is how many words follow, and these. */
  readonly calls: Float64Array;
  /** For each call its start and its end, in milliseconds. */
  readonly times: Float64Array;
  /** How many calls were too many. */
  readonly leftOut: number;
}

/** Words: their UTF-8 one after the other, where each ends, and how often each occurs. */
export interface WordArrays {
  readonly bytes: Uint8Array;
  readonly ends: Uint32Array;
  readonly counts: Float64Array;
}

/**
 * What trains tokenizers (native/addon_text.cc), beside the event loop. Through `control`, [stop, done, total], it is
 * stopped and followed.
 */
interface NativeText {
  /** Of a text::Splitting (native/text/split.h). */
  WordCounter: new (
    splitting: number,
  ) => {
    /** Without `ends`, each line is a text of its own. */
    add(bytes: Uint8Array, ends: Uint32Array | undefined, control: Int32Array): Promise<void>;
    words(): WordArrays;
  };
  trainPairs(
    words: WordArrays,
    options: object,
    control: Int32Array,
  ): Promise<{ tokens: string[]; merges: Uint32Array }>;
  trainUnigram(
    words: WordArrays,
    options: object,
    control: Int32Array,
  ): Promise<{ pieces: string[]; scores: Float64Array }>;
}

/** The folder of the package, in a checkout as well as installed. */
export const packageRoot = fileURLToPath(new URL("..", import.meta.url));

const require = createRequire(import.meta.url);

const chosen = process.env.TRAINFORMER_ADDON;

function loadAddon(): Addon {
  try {
    return chosen ? require(chosen) : require("node-gyp-build")(packageRoot);
  } catch (cause) {
    throw new TrainformerError(
      "ERR_NO_BINARY",
      `no native binary for ${process.platform}-${process.arch}${chosen ? ` at ${chosen}` : ""}: prebuilt ones exist for ` +
        "linux-x64 (glibc 2.28 or newer); in a checkout, `npm run build` makes one (needs CMake and a C++17 compiler)",
      { cause },
    );
  }
}

/** Runs `body` and gives the addon's errors the classes of this package. */
function translated<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw translate(error);
  }
}

/** The addon's error with the class of this package. */
export function translate(error: unknown): unknown {
  const { code, message } = error as { code?: ErrorCode; message: string };
  if (code === "ERR_SHAPE") return new ShapeError(message);
  if (code === "ERR_DTYPE") return new DtypeError(message);
  return code?.startsWith("ERR_") ? new TrainformerError(code, message) : error;
}

const addon = loadAddon();
export const nativeText = addon.text;
const { words: callWords, kernels: exported, isas, isa: bestIsa } = addon.info();

/** The arguments of the next call, in the order of the kernel's parameters (see `callKernel`). */
export const words = callWords;

/** The instruction set in use. */
export const settings = { isa: bestIsa };

/** Whether the instruction set in use multiplies bf16; if not, products of bf16 are computed in f32. */
export const multipliesBf16 = (): boolean =>
  isas.some(({ name, multipliesBf16 }) => name === settings.isa && multipliesBf16);

export type ParameterKind = "in" | "out" | "acc" | "number";

export interface KernelParameter {
  readonly name: string;
  readonly kind: ParameterKind;
  /** The dtype it must have: that of the activations ("real"), or always this one. */
  readonly dtype: "real" | Dtype;
  readonly optional: boolean;
  readonly strided: boolean;
  readonly rank: number;
}

/** A kernel of the contract (native/kernels.def), the same on every device and instruction set. */
export interface Kernel {
  readonly id: number;
  readonly name: string;
  readonly parameters: readonly KernelParameter[];
}

function parseParameter({
  name,
  type,
  rank,
}: Info["kernels"][number]["parameters"][number]): KernelParameter {
  const base = type.replace(/Opt$|Strided$/, "");
  const kind: ParameterKind =
    rank === 0 ? "number" : /^(In|Ids)/.test(base) ? "in" : base === "Acc" ? "acc" : "out";
  const dtype = /Ids$/.test(base) ? "i32" : /32$/.test(base) || base === "Acc" ? "f32" : "real";
  return { name, kind, dtype, optional: type.endsWith("Opt"), strided: type.endsWith("Strided"), rank };
}

/** By name, in the order of their numbers. */
export const kernels: ReadonlyMap<string, Kernel> = new Map<string, Kernel>(
  exported.map(({ name, parameters }, id) => [
    name,
    { id, name, parameters: parameters.map(parseParameter) },
  ]),
);

export const findKernel = (name: string): Kernel | undefined => kernels.get(name);

export function kernelNamed(name: string): Kernel {
  const kernel = kernels.get(name);
  if (kernel === undefined)
    throw new TrainformerError("ERR_NO_BINARY", `the native binary has no kernel ${name}: rebuild it`);
  return kernel;
}

/** A tensor as a kernel takes it: as many axes as the kernel names. */
export interface KernelView {
  readonly handle: number;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** Enqueues `kernel` with the first `count` words as its arguments. */
export function enqueue(kernel: Kernel, real: Dtype, count: number): void {
  try {
    addon.call(kernel.id, dtypeNumber[real], count);
  } catch (error) {
    throw translate(error);
  }
}

/** Enqueues `kernel` with its arguments in the order of its parameters; undefined leaves out an optional one. */
export function callKernel(
  kernel: Kernel,
  real: Dtype,
  args: readonly (KernelView | number | undefined)[],
): void {
  let at = 0;
  for (const argument of args) {
    if (typeof argument === "number") {
      words[at++] = argument;
    } else if (argument === undefined) {
      words[at++] = -1;
    } else {
      words[at++] = argument.handle;
      words[at++] = argument.offset;
      for (const size of argument.shape) words[at++] = size;
      for (const stride of argument.strides) words[at++] = stride;
    }
  }
  enqueue(kernel, real, at);
}

export const allocate = (dtype: Dtype, length: number, device: number): number =>
  translated(() => addon.alloc(dtypeNumber[dtype], length, device));
/** Enqueues a copy of `length` elements, between any two devices. */
export const transfer = (
  from: number,
  fromOffset: number,
  to: number,
  toOffset: number,
  length: number,
): void => translated(() => addon.copy(from, fromOffset, to, toOffset, length));
/** Says where a step begins and ends on a device. */
export const markStep = (device: number, begins: boolean): void =>
  translated(() => addon.step(device, begins));
export const adopt = (data: DtypeArray): number => translated(() => addon.adopt(data));
export const free = (handle: number): void => translated(() => addon.free(handle));
export const write = (handle: number, offset: number, data: DtypeArray): void =>
  translated(() => addon.write(handle, offset, data));

/** Everything enqueued so far, done; then the memory as asked for. Rejects with what kernels reported. */
export async function read(
  handle: number,
  offset: number,
  length: number,
  mode: "view" | "copy",
): Promise<ArrayBuffer> {
  try {
    return await addon.read(handle, offset, length, readMode[mode]);
  } catch (error) {
    throw translate(error);
  }
}
export const readSync = (handle: number, offset: number, length: number): ArrayBuffer =>
  translated(() => addon.read(handle, offset, length, readMode.sync) as ArrayBuffer);

/**
 * `length` bytes of the open file from `position` on, in place (native/mapping.h); undefined where they have to be read.
 *
 * @throws ERR_CHECKPOINT if the file is shorter
 */
export const mapFile = (file: number, position: number, length: number): ArrayBuffer | undefined =>
  translated(() => addon.map(file, position, length));

export interface Settings {
  isa: string;
  threads: number;
  poison: boolean;
  synchronous: boolean;
  externalBuffers: boolean;
  externalBytes: number;
  /** Gives free memory back to the system, once everything enqueued has run. */
  trim: boolean;
}
export function configure<K extends keyof Settings>(name: K, value: Settings[K]): void {
  translated(() => addon.configure(name, value));
  if (name === "isa") settings.isa = value as string;
}

/** Sets what the module of a device knows by `name`. */
export const configureDevice = (device: number, name: string, value: number): void =>
  translated(() => addon.configure(name, value, device));

/** The file of the CUDA module. TRAINFORMER_CUDA names a build of it in a checkout ("emulated"), or a file. */
function cudaModule(): string {
  const asked = process.env.TRAINFORMER_CUDA ?? "";
  if (/[./\\]/.test(asked)) return path.resolve(asked);
  const folder = path.dirname(chosen ?? require("node-gyp-build").path(packageRoot));
  return path.join(folder, asked === "" ? "trainformer_cuda.so" : `trainformer_cuda_${asked}.so`);
}

/**
 * The number of a CUDA device.
 *
 * @throws ERR_NO_DEVICE
 */
export function openCuda(name: string, index: number): number {
  const advice = (what: string) => `device "${name}": ${what}`;
  const file = cudaModule();
  if (!existsSync(file)) {
    throw new TrainformerError(
      "ERR_NO_DEVICE",
      advice(
        `there is no CUDA module at ${path.relative("", file)}: prebuilt packages for linux-x64 contain one; in a ` +
          'checkout, `npm run build` makes one where it finds nvcc. Use "cpu"',
      ),
    );
  }
  try {
    return addon.open(file, index);
  } catch (error) {
    const { message } = error as Error;
    throw new TrainformerError("ERR_NO_DEVICE", advice(message));
  }
}

/** The number of a device on which tensors have no elements. */
export const openMeta = (): number => addon.open();

/** Makes what is live now the peak of a device. */
export const resetPeak = (device: number): void => translated(() => addon.resetPeak(device));

/** Records what is enqueued from here on. Returns the time, in milliseconds of the clock of the record. */
export const startRecording = (): number => translated(() => addon.record(true));

/** Ends that, once what was enqueued is done. */
export const endRecording = (): Recorded => translated(() => addon.record(false));

export const info = (): Omit<Info, "words" | "kernels"> => addon.info();

const { TRAINFORMER_ISA, TRAINFORMER_THREADS, TRAINFORMER_POISON, TRAINFORMER_SYNC } = process.env;
if (TRAINFORMER_ISA) configure("isa", TRAINFORMER_ISA);
if (TRAINFORMER_THREADS) configure("threads", Number(TRAINFORMER_THREADS));
if (TRAINFORMER_POISON) configure("poison", true);
if (TRAINFORMER_SYNC) configure("synchronous", true);
