import os from "node:os";
import path from "node:path";
import { deviceNumber } from "../device.ts";
import { multipliesBf16, info as native } from "../native.ts";
import { showBytes } from "../print.ts";
import { defineCommand, exitCodes } from "./command.ts";
import { columns } from "./help.ts";
import { flag } from "./options.ts";
import { version } from "./version.ts";

interface Report {
  header: { glibcVersionRuntime?: string };
  /** Files of native code that the process has loaded. */
  sharedObjects: readonly string[];
}

/** A GPU as `info` tells of it, or why there is none. */
interface DeviceReport {
  name: string;
  available: boolean;
  reason?: string;
  model?: string;
  computeCapability?: string;
  driver?: string;
  memory?: { totalBytes: number; freeBytes: number };
  emulated?: boolean;
}

const cudaVersion = (n: number): string => `${Math.floor(n / 1000)}.${Math.floor((n % 1000) / 10)}`;

function cudaReport(): DeviceReport {
  try {
    const number = deviceNumber("cuda");
    const found = native().devices[number]!;
    return {
      name: "cuda",
      available: true,
      model: found.name!,
      computeCapability: `${Math.floor(found.capability! / 10)}.${found.capability! % 10}`,
      driver: cudaVersion(found.driverVersion!),
      memory: { totalBytes: found.memoryBytes!, freeBytes: found.freeBytes! },
      emulated: found.emulated!,
    };
  } catch (error) {
    return { name: "cuda", available: false, reason: (error as Error).message };
  }
}

function describe({
  name,
  reason,
  model,
  computeCapability,
  driver,
  memory,
  emulated,
}: DeviceReport): string {
  if (reason !== undefined) return `none: ${reason.replace(/^device "cuda": /, "")}`;
  if (model === undefined) return name;
  const size = `${showBytes(memory!.totalBytes)}, ${showBytes(memory!.freeBytes)} free`;
  return `${model}${emulated ? " (emulated)" : ""}, compute capability ${computeCapability}, CUDA ${driver}, ${size}`;
}

/** The addon, and the CUDA module if it could be loaded. */
function binariesOf({ sharedObjects }: Report): string[] {
  const loaded = sharedObjects.filter((file) => /(\.node|trainformer_cuda[^/\\]*\.(so|dll))$/.test(file));
  return [...new Set(loaded)].map((file) => {
    const relative = path.relative("", file);
    return relative.startsWith("..") ? file : relative;
  });
}

export const command = defineCommand({
  usage: "[--json]",
  options: { json: flag("prints one JSON object") },
  async run({ json }) {
    const { isa, isas, threads, cores } = native();
    const cuda = cudaReport();
    const limit = process.constrainedMemory(); // 0 where nobody knows
    const report = process.report.getReport() as unknown as Report;
    const facts = {
      version,
      binaries: binariesOf(report),
      node: process.version,
      v8: process.versions.v8,
      platform: process.platform,
      arch: process.arch,
      glibc: report.header.glibcVersionRuntime ?? null,
      cpu: os.cpus()[0]?.model.trim() ?? null,
      cores,
      threads,
      isa,
      isas: isas.filter(({ supported }) => supported).map(({ name }) => name),
      multipliesBf16: multipliesBf16(),
      memory: {
        totalBytes: os.totalmem(),
        freeBytes: os.freemem(),
        ...(limit > 0 && limit < os.totalmem() && { limitBytes: limit }),
      },
      devices: [{ name: "cpu", available: true }, cuda] satisfies DeviceReport[],
    };
    if (json) {
      console.log(JSON.stringify(facts));
      return exitCodes.done;
    }
    const { totalBytes, freeBytes, limitBytes } = facts.memory;
    const ours = limitBytes === undefined ? "" : `, of which ${showBytes(limitBytes)} for this process`;
    const system = `${facts.platform} ${facts.arch}${facts.glibc ? `, glibc ${facts.glibc}` : ""}`;
    console.log(
      columns([
        ["trainformer", version],
        ["binary", facts.binaries.join(", ")],
        ["node", `${facts.node}, ${system}`],
        ["cpu", `${facts.cpu ?? "unknown"}, ${cores} cores`],
        ["threads", String(threads)],
        ["isa", `${isa} (available: ${facts.isas.join(", ")})`],
        ["bf16", facts.multipliesBf16 ? "multiplied as such" : "multiplied as f32: no faster"],
        ["memory", `${showBytes(totalBytes)}, ${showBytes(freeBytes)} free${ours}`],
        ["cuda", describe(cuda)],
      ]),
    );
    return exitCodes.done;
  },
});
