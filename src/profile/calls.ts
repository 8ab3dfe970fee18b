import { type Device, openedDevices } from "../device.ts";
import type { Dtype } from "../dtype.ts";
import { type Kernel, kernels, type Recorded } from "../native.ts";
import { bytesOf, flopsOf, type KernelArguments, type TensorArgument } from "./work.ts";

/** Something that was enqueued and ran. Times are in milliseconds since the profile began. */
export interface Call {
  /** Of the kernel; else "write" (from JavaScript), "read" (to it), "send" and "receive" (between devices), "poison". */
  readonly name: string;
  readonly device: Device;
  /** In which the kernel computes. */
  readonly dtype: Dtype | undefined;
  /** When JavaScript began to enqueue it, and when it was through. */
  readonly enqueueStart: number;
  readonly enqueueEnd: number;
  /** When it ran on the device. */
  readonly start: number;
  readonly end: number;
  /** Held by tensors of the device, as it was enqueued. */
  readonly liveBytes: number;
  /** Floating-point operations of products; 0 for what does not multiply matrices. */
  readonly flops: number;
  /** Read and written, each element of each argument once; what is added to, twice. */
  readonly bytes: number;
  /** Of a kernel. */
  readonly args: KernelArguments | undefined;
  /** The modules whose forward enqueued it, the innermost last, where a model was given. */
  modules: readonly string[];
}

/** See Command::Kind in native/queue.h; the rest is not recorded. */
const kinds = ["kernel", "poison", "write", "read", "send", "receive"];
const dtypes: readonly Dtype[] = ["f32", "bf16", "i32"];

/** @internal The tensors and numbers among the words of a call (see `callKernel` in native.ts). */
export function argumentsOf({ parameters }: Kernel, words: Float64Array, real: Dtype): KernelArguments {
  const tensors = new Map<string, TensorArgument>();
  const numbers = new Map<string, number>();
  let at = 0;
  for (const { name, kind, rank, dtype } of parameters) {
    if (kind === "number") numbers.set(name, words[at++]!);
    else if (words[at] === -1) at++;
    else {
      const sizes = [...words.subarray(at + 2, at + 2 + 2 * rank)];
      const [shape, strides] = [sizes.slice(0, rank), sizes.slice(rank)];
      tensors.set(name, { name, kind, dtype: dtype === "real" ? real : dtype, shape, strides });
      at += 2 + 2 * rank;
    }
  }
  return { tensors, numbers };
}

/** @param origin the time of the record at which the profile began */
export function callsOf({ calls, times }: Recorded, origin: number): Call[] {
  const devices = new Map([...openedDevices()].map(([name, number]) => [number, name]));
  const byId = [...kernels.values()];
  const found: Call[] = [];
  const fields = 8;
  for (let at = 0, i = 0; at < calls.length; i++) {
    const [kind, device, id, real, taken, enqueued, liveBytes, count] = calls.subarray(at, at + fields);
    const words = calls.subarray(at + fields, at + fields + count!);
    at += fields + count!;
    const kernel = kinds[kind!] === "kernel" ? byId[id!]! : undefined;
    const args = kernel && argumentsOf(kernel, words, dtypes[real!]!);
    const bytes = kernel ? bytesOf(kernel.name, args!) : words[0]!;
    if (kernel === undefined && bytes === 0) continue; // somebody waited
    found.push({
      name: kernel?.name ?? kinds[kind!]!,
      device: devices.get(device!)!,
      dtype: kernel && dtypes[real!]!,
      enqueueStart: taken! - origin,
      enqueueEnd: enqueued! - origin,
      start: times[2 * i]! - origin,
      end: times[2 * i + 1]! - origin,
      liveBytes: liveBytes!,
      flops: kernel ? flopsOf(kernel.name, args!) : 0,
      bytes,
      args,
      modules: [],
    });
  }
  return found;
}
