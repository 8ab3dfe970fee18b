/**
 * What the processor can do at best, measured with native/ops/ceilings.cc and by copying: the measure of all ops.
 *
 * Arithmetic is compared with multiply-adds in registers, on the same instruction set. Traffic is compared with reading
 * and copying as many bytes as the op touches in all, so that an op whose tensors fit into a cache is compared with the
 * cache.
 */
import { configure, kernelNamed } from "../src/native.ts";
import { runKernel } from "../src/op.ts";
import { full } from "../src/ops/creation.ts";
import { Tensor } from "../src/tensor.ts";
import { type Contestant, timesOf } from "./measure.ts";

const kernels = {
  fma: kernelNamed("peak_fma"),
  read: kernelNamed("peak_read"),
  write: kernelNamed("fill32"),
  copy: kernelNamed("copy"),
};

const fmaPieces = 64;
const fmaSteps = 14 * 16 * 2048; // a multiple of what any instruction set does at once
const fmaFlops = 2 * fmaPieces * fmaSteps;
const pieceBytes = 2 ** 16;

/** More than caches hold. */
const memoryBytes = 2 ** 28;

const useIsa = (isa: string) => () => configure("isa", isa);

/** Multiply-adds in registers. */
function fma(isa: string): Contestant {
  const x = full([2], 0.5);
  const y = Tensor.empty([fmaPieces], "f32");
  return { begin: useIsa(isa), run: () => runKernel(kernels.fma, "f32", { x, y, count: fmaSteps }) };
}

/** Memory for all of them, touched once. */
const pool = [full([memoryBytes / 4], 1), full([memoryBytes / 8], 1)] as const;
const floats = (from: Tensor, bytes: number): Tensor => new Tensor(from.storage, [Math.ceil(bytes / 4)], [1]);

/** Reads, writes, or reads one half and writes the other: `bytes` in all, at most `memoryBytes`. */
function traffic(kind: "read" | "write" | "copy", isa: string, bytes: number): Contestant {
  const begin = useIsa(isa);
  const all = floats(pool[0], bytes);
  if (kind === "write") return { begin, run: () => runKernel(kernels.write, "f32", { y: all, value: 1 }) };
  if (kind === "read") {
    const y = Tensor.empty([Math.ceil(bytes / pieceBytes)], "f32");
    return { begin, run: () => runKernel(kernels.read, "f32", { x: all, y }) };
  }
  const [x, y] = pool.map((from) => floats(from, bytes / 2));
  return { begin, run: () => runKernel(kernels.copy, "f32", { x, y }) };
}

/** What one call must do at least. */
export interface Amount {
  readonly flops?: number | undefined;
  readonly read?: number | undefined;
  readonly written?: number | undefined;
}

export const bytesOf = ({ read = 0, written = 0 }: Amount): number => read + written;

/** What takes turns with an op, and how its times tell the least time that the op could take. */
export interface Ceiling {
  readonly contestants: readonly Contestant[];
  leastMs(times: readonly number[]): number;
}

export function ceilingOf(amount: Amount, isa: string): Ceiling {
  const { flops, read = 0, written = 0 } = amount;
  if (flops !== undefined) {
    return { contestants: [fma(isa)], leastMs: ([ms]) => (flops / fmaFlops) * ms! };
  }
  const bytes = Math.min(read + written, memoryBytes);
  const reading = traffic("read", isa, bytes);
  if (written === 0) return { contestants: [reading], leastMs: ([ms]) => ms! };
  // Copying takes the time of reading one half and of writing the other.
  return {
    contestants: [reading, traffic("copy", isa, bytes)],
    leastMs([readMs, copyMs]) {
      const perByteRead = readMs! / bytes;
      const perByteWritten = Math.max(0, (2 * copyMs!) / bytes - perByteRead);
      return read * perByteRead + written * perByteWritten;
    },
  };
}

export interface Peaks {
  readonly threads: number;
  /** GFLOP/s of multiply-adds, by instruction set. */
  readonly fma: Readonly<Record<string, number>>;
  /** GB/s of memory. */
  readonly read: number;
  readonly write: number;
  readonly copy: number;
}

/** Peaks for a number of threads; memory with the last of the instruction sets. */
export async function measurePeaks(
  isas: readonly string[],
  threads: number,
  budgetMs: number,
): Promise<Peaks> {
  configure("threads", threads);
  const best = isas.at(-1)!;
  const contestants = [
    ...isas.map(fma),
    traffic("read", best, memoryBytes),
    traffic("write", best, memoryBytes),
    traffic("copy", best, memoryBytes),
  ];
  const times = await timesOf(contestants, budgetMs);
  const [read, write, copy] = times.slice(isas.length).map((ms) => memoryBytes / ms / 1e6);
  return {
    threads,
    fma: Object.fromEntries(isas.map((isa, i) => [isa, fmaFlops / times[i]! / 1e6])),
    read: read!,
    write: write!,
    copy: copy!,
  };
}
