/**
 * `npm run bench:install [-- debian npm python]`: installs what the benchmarks compare with, all of it or by kind.
 *
 *   debian   OpenBLAS and oneDNN, by apt, if run as root
 *   npm      jax-js and TensorFlow.js, into build/peers/npm
 *   python   PyTorch, which brings MKL, and NumPy, into build/peers/venv
 *
 * What cannot be installed is said, and the rest goes on: a benchmark without a peer says which one it misses.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../../build/peers", import.meta.url));
const inFolder = (...names) => path.join(folder, ...names);

const debianPackages = ["libopenblas-dev", "libdnnl-dev"];
const npmPackages = ["@jax-js/jax@0.1.25", "@tensorflow/tfjs@4.22.0", "@tensorflow/tfjs-backend-wasm@4.22.0"];
const pythonPackages = ["torch==2.13.0", "numpy", "tokenizers==0.23.2"];

function run(command, ...args) {
  console.log(`${command} ${args.join(" ")}`);
  const { status, error } = spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) throw new Error(error?.message ?? `${command} ended with ${status}`);
}

const installers = {
  debian() {
    if (process.getuid?.() !== 0) throw new Error(`needs root: apt-get install ${debianPackages.join(" ")}`);
    run("apt-get", "update");
    run("apt-get", "install", "--yes", "--no-install-recommends", ...debianPackages);
  },
  npm() {
    mkdirSync(inFolder("npm"), { recursive: true });
    writeFileSync(inFolder("npm", "package.json"), '{ "private": true }\n');
    const quiet = ["--no-audit", "--no-fund", "--loglevel", "error"];
    run("npm", "install", "--prefix", inFolder("npm"), ...quiet, "--ignore-scripts", ...npmPackages);
  },
  python() {
    run("python3", "-m", "venv", inFolder("venv"));
    run(inFolder("venv/bin/python"), "-m", "pip", "install", ...pythonPackages);
  },
};

const words = process.argv.slice(2);
const unknown = words.find((word) => !(word in installers));
if (unknown !== undefined) {
  console.error(`one of ${Object.keys(installers).join(", ")}; got ${unknown}`);
  process.exit(1);
}
let failed = false;
for (const [kind, install] of Object.entries(installers)) {
  if (words.length > 0 && !words.includes(kind)) continue;
  try {
    install();
  } catch (error) {
    failed = true;
    console.error(`${kind}: not installed: ${error.message}`);
  }
}
process.exit(failed ? 1 : 0);
