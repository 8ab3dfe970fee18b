/** What a run was made on, and its entry in results.md. */
import { spawnSync } from "node:child_process";
import { appendFileSync, readFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { info } from "../src/native.ts";
import { type Cell, formatTable, markdownTable } from "./table.ts";

const file = path.resolve("bench/results.md");
const heading = "## Runs";
const introduction = `${heading}

Written by the programs of bench/, one section a run. Ratios are of medians, of what took turns; above 1 the library is
faster. Load is that of the last minute at the end of the run, the benchmark's own included: ratios from a busy machine
say little.
`;

const git = (...args: string[]): string => spawnSync("git", args, { encoding: "utf8" }).stdout?.trim() ?? "";

function commit(): string {
  const hash = git("rev-parse", "--short", "HEAD") || "unknown";
  const changed = git("status", "--porcelain", "--", ".", ":!bench/results.md") !== "";
  return changed ? `${hash} with changes` : hash;
}

export interface Report {
  /** Of the program: "gemm". */
  readonly program: string;
  /** Versions of the peers, ceilings, peak memory: a line each. */
  readonly notes: readonly string[];
  readonly head: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
  /** How many columns are text. */
  readonly left: number;
}

const machine = (): string =>
  `${os.cpus()[0]?.model ?? os.arch()}, ${info().cores} cores, ${info().isa}, Node ${process.versions.node}`;

/** Prints a report, and appends it to results.md unless the command line says `--discard`. */
export function publish({ program, notes, head, rows, left }: Report, discard: boolean): void {
  const lines = [`${machine()}; commit ${commit()}; load ${os.loadavg()[0]!.toFixed(1)}`, ...notes].filter(
    Boolean,
  );
  console.log(`\n${lines.join("\n")}\n\n${formatTable(head, rows, left)}`);
  if (discard) return;
  const when = new Date().toISOString().slice(0, 16).replace("T", " ");
  const command = program === "ops" ? "npm run bench" : `npm run bench:${program}`;
  const args = process.argv
    .slice(2)
    .filter((arg, i, all) => !arg.startsWith("--python") && all[i - 1] !== "--python");
  const call = `\`${[command, ...(args.length > 0 ? ["--", ...args] : [])].join(" ")}\``;
  const isFirst = !readFileSync(file, "utf8").includes(`\n${heading}\n`);
  const section = `### ${program}, ${when} UTC\n\n${[call, ...lines].map((line) => `- ${line}`).join("\n")}\n\n${markdownTable(head, rows, left)}\n`;
  appendFileSync(file, `\n${isFirst ? `${introduction}\n` : ""}${section}`);
}
