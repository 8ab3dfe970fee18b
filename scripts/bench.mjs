/**
 * `npm run bench [-- program] [arguments]`: builds what is out of date and runs one of the programs of bench/,
 *
 *   ops       every op, against the processor's ceilings (the default; a word selects ops by name)
 *   train     a training step, against PyTorch's
 *   profile   a training step, kernel by kernel
 *
 * The head of each program's file lists its arguments. Node runs what tsc makes of them in build/bench.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { ensureBuilt, root } from "./build.mjs";

ensureBuilt();

const inRoot = (...names) => path.join(root, ...names);
const run = (...args) => spawnSync(process.execPath, args, { cwd: root, stdio: "inherit", env });
const env = {
  ...process.env,
  TRAINFORMER_ADDON: process.env.TRAINFORMER_ADDON ?? inRoot("build", "Release", "trainformer.node"),
};

const words = process.argv.slice(2);
const named = words[0] !== undefined && existsSync(inRoot("bench", `${words[0]}.bench.ts`));
const program = named ? words.shift() : "ops";

const { status } = run(inRoot("node_modules/typescript/bin/tsc"), "-p", inRoot("bench"));
if (status !== 0) process.exit(status ?? 1);
process.exit(run(inRoot("build", "bench", "bench", `${program}.bench.js`), ...words).status ?? 1);
