/**
 * `node scripts/bench.mjs PROGRAM [arguments]`: builds what is out of date and runs a program of bench/,
 *
 *   npm run bench           ops       every op, against the processor's ceilings (a word selects ops by name)
 *   npm run bench:profile   profile   a training step, kernel by kernel
 *   npm run bench:gemm      gemm      matrix products, against OpenBLAS, oneDNN and MKL
 *   npm run bench:train     train     a training step, against PyTorch and libraries of JavaScript
 *   npm run bench:decode    decode    the products of generating a token, against PyTorch
 *   npm run bench:tokenizer tokenizer the training of tokenizers, against Hugging Face's
 *   npm run bench:generate  generate  a token of GPT-2 and its cache, against the memory it reads
 *
 * and `node scripts/bench.mjs cuda-model` the tables of bench/cuda-model.md. `--device cuda` of the first and of
 * bench:train measures a GPU.
 *
 * The head of each program's file lists its arguments. Node runs what tsc makes of them in build/bench.
 */
import { spawnSync } from "node:child_process";
import path from "node:path";
import { ensureBuilt, root } from "./build.mjs";

ensureBuilt();

const inRoot = (...names) => path.join(root, ...names);
const run = (...args) => spawnSync(process.execPath, args, { cwd: root, stdio: "inherit", env });
const env = {
  ...process.env,
  TRAINFORMER_ADDON: process.env.TRAINFORMER_ADDON ?? inRoot("build", "Release", "trainformer.node"),
};

const [program, ...words] = process.argv.slice(2);
const { status } = run(inRoot("node_modules/typescript/bin/tsc"), "-p", inRoot("bench"));
if (status !== 0) process.exit(status ?? 1);
process.exit(run(inRoot("build", "bench", "bench", `${program}.bench.js`), ...words).status ?? 1);
