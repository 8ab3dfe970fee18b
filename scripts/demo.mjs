/**
 * `npm run demo [-- options of trainformer train]`: trains a small GPT on the Brown corpus for a minute or two, in the
 * setting of bench/peers/brown_gpt.py, and shows what it then writes. The texts and the model are in run/demo/.
 */
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { brownSplit } from "./brown.mjs";
import { ensureBuilt, root } from "./build.mjs";

ensureBuilt();

const folder = path.join(root, "run", "demo");
const [trainFile, heldOutFile] = ["brown-train.txt", "brown-heldout.txt"].map((name) =>
  path.join(folder, name),
);
const { train, heldOut } = brownSplit();
mkdirSync(folder, { recursive: true });
writeFileSync(trainFile, train);
writeFileSync(heldOutFile, heldOut);

const shown = (file) => path.relative(process.cwd(), file);
const options = [
  "--data",
  shown(trainFile),
  "--held-out",
  shown(heldOutFile),
  "--out",
  shown(folder),
  "--no-bias",
  ...(process.argv.includes("--resume") ? [] : ["--force"]), // the folder is of the demo
];
const cli = spawn(
  process.execPath,
  [path.join(root, "dist/cli/main.js"), "train", ...options, ...process.argv.slice(2)],
  { stdio: "inherit" },
);
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => cli.kill(signal));
cli.on("exit", (code) => process.exit(code ?? 1));
