import os from "node:os";
import { deviceNumber } from "../device.ts";
import { info as native } from "../native.ts";
import { columns, defineCommand, flag } from "./command.ts";
import { version } from "./version.ts";

interface Report {
  header: { glibcVersionRuntime?: string };
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
  if (reason !== undefined) return reason;
  if (model === undefined) return name;
  const size = `${gigabytes(memory!.totalBytes)}, ${gigabytes(memory!.freeBytes)} free`;
  return `${name}: ${model}${emulated ? " (emulated)" : ""}, compute capability ${computeCapability}, CUDA ${driver}, ${size}`;
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

export const command = defineCommand({
  usage: "[--json]",
  options: { json: flag("prints one JSON object") },
  async run({ json }) {
    const { isa, isas, threads, cores } = native();
    const { header } = process.report.getReport() as unknown as Report;
    const facts = {
      version,
      node: process.version,
      platform: process.platform,
      arch: process.arch,
      glibc: header.glibcVersionRuntime ?? null,
      cpu: os.cpus()[0]?.model.trim() ?? null,
      cores,
      threads,
      isa,
      isas: isas.filter(({ supported }) => supported).map(({ name }) => name),
      memory: { totalBytes: os.totalmem(), freeBytes: os.freemem() },
      devices: [{ name: "cpu", available: true }, cudaReport()] satisfies DeviceReport[],
    };
    if (json) {
      console.log(JSON.stringify(facts));
      return 0;
    }
    const system = `${facts.platform} ${facts.arch}${facts.glibc ? `, glibc ${facts.glibc}` : ""}`;
    console.log(
      columns([
        ["trainformer", version],
        ["node", `${facts.node}, ${system}`],
        ["cpu", `${facts.cpu ?? "unknown"}, ${cores} cores`],
        ["threads", String(threads)],
        ["isa", `${isa} (available: ${facts.isas.join(", ")})`],
        ["memory", `${gigabytes(facts.memory.totalBytes)}, ${gigabytes(facts.memory.freeBytes)} free`],
        ["devices", facts.devices.map(describe).join("; ")],
      ]),
    );
    return 0;
  },
});
