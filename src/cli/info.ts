import os from "node:os";
import { info as native } from "../native.ts";
import { columns, defineCommand, flag } from "./command.ts";
import { version } from "./version.ts";

interface Report {
  header: { glibcVersionRuntime?: string };
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
      devices: [
        { name: "cpu", available: true },
        { name: "cuda", available: false, reason: "not in this build" },
      ],
    };
    if (json) {
      console.log(JSON.stringify(facts));
      return 0;
    }
    const system = `${facts.platform} ${facts.arch}${facts.glibc ? `, glibc ${facts.glibc}` : ""}`;
    const devices = facts.devices.map(({ name, reason }) => (reason ? `${name}: ${reason}` : name));
    console.log(
      columns([
        ["trainformer", version],
        ["node", `${facts.node}, ${system}`],
        ["cpu", `${facts.cpu ?? "unknown"}, ${cores} cores`],
        ["threads", String(threads)],
        ["isa", `${isa} (available: ${facts.isas.join(", ")})`],
        ["memory", `${gigabytes(facts.memory.totalBytes)}, ${gigabytes(facts.memory.freeBytes)} free`],
        ["devices", devices.join("; ")],
      ]),
    );
    return 0;
  },
});
