/**
 * `node scripts/cuda-ptx.mjs [--interpreter]`: the PTX of every CUDA source, in build/cuda-ptx, and the CUDA module that
 * interprets it. Only what changed is compiled again. Prints the folder, and the file of the module.
 *
 * It is what nvcc puts into trainformer_cuda.so and makes all machine code of. Tests interpret it (cuda/emulation/ptx.cc),
 * and scripts/cuda-gate.mjs looks at the machine code. No GPU is needed.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const sources = path.join(root, "cuda");
export const ptxFolder = path.join(root, "build", "cuda-ptx");

/** What a program ends with where there is no nvcc. */
export const noNvcc = 3;

/** The path of nvcc; undefined if it is nowhere. */
export function findNvcc() {
  const name = process.platform === "win32" ? "nvcc.exe" : "nvcc";
  const folders = [
    ...(process.env.PATH ?? "").split(path.delimiter),
    ...[
      process.env.CUDA_HOME,
      process.env.CUDA_PATH,
      path.join(root, "build", "cuda-toolkit"),
      "/usr/local/cuda",
    ]
      .filter(Boolean)
      .map((folder) => path.join(folder, "bin")),
  ];
  return folders.map((folder) => path.join(folder, name)).find((file) => existsSync(file));
}

/** Whether a file of build/cuda-ptx, without its ending, is of kernels for capability 9.0 alone. */
export const isForHopper = (name) => name.endsWith(".hopper");

/** Calls `work` for each item, `count` of them at a time. */
export async function inParallel(items, work, count = 2) {
  const left = [...items];
  const worker = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: count }, worker));
}

/** Runs a program to its end; resolves to what it printed, rejects if it fails. */
export function output(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    child.stdout.on("data", (chunk) => (text += chunk));
    child.stderr.on("data", (chunk) => (text += chunk));
    child.on("error", reject);
    child.on("close", (status) =>
      status === 0 ? resolve(text) : reject(new Error(`${command} ${args.join(" ")}\n${text}`)),
    );
  });
}

export const hashOf = (...contents) => {
  const hash = createHash("sha256");
  for (const content of contents) hash.update(content);
  return hash.digest("hex");
};

/**
 * What is compiled: ops/*.cu and table.cu for each activation dtype, as CMakeLists.txt has it, the rest once. Files
 * named hopper.cu are for one architecture, and are not interpreted.
 */
function compilations() {
  const files = readdirSync(sources, { recursive: true })
    .map((file) => file.replaceAll(path.sep, "/"))
    .filter((file) => file.endsWith(".cu"))
    .sort();
  return files.flatMap((file) => {
    const stem = file.slice(0, -".cu".length).replaceAll("/", ".");
    const architecture = `-arch=${isForHopper(stem) ? "compute_90a" : "compute_80"}`;
    if (!file.startsWith("ops/") && file !== "table.cu")
      return [{ file, name: stem, options: [architecture] }];
    return ["f32", "bf16"].map((real) => ({
      file,
      name: `${stem}.${real}`,
      options: [architecture, `-DREAL=${real}`],
    }));
  });
}

/** The files that a Makefile rule names behind its colon, those of this repository. */
function dependencies(rule) {
  const [, list = ""] = rule.replaceAll("\\\n", " ").split(/:\s/);
  return list.split(/\s+/).filter((file) => file.startsWith(root) && existsSync(file));
}

const hashesOf = (files) => Object.fromEntries(files.map((file) => [file, hashOf(readFileSync(file))]));

/**
 * Brings build/cuda-ptx up to date.
 * @returns the names of the files in it, without their ending
 * @throws if nvcc fails
 */
export async function buildPtx(nvcc) {
  const version = spawnSync(nvcc, ["--version"], { encoding: "utf8" }).stdout;
  const flags = ["-std=c++17", "-O3", "-ptx"];
  mkdirSync(ptxFolder, { recursive: true });
  const wanted = compilations();
  const names = new Set(wanted.map(({ name }) => name));
  for (const file of readdirSync(ptxFolder)) {
    if (file.endsWith(".ptx") && !names.has(file.slice(0, -".ptx".length)))
      rmSync(path.join(ptxFolder, file));
  }
  await inParallel(wanted, async ({ file, name, options }) => {
    const ptx = path.join(ptxFolder, `${name}.ptx`);
    const record = path.join(ptxFolder, `${name}.json`);
    const how = hashOf(version, ...flags, ...options);
    if (existsSync(ptx) && existsSync(record)) {
      const before = JSON.parse(readFileSync(record, "utf8"));
      const files = Object.keys(before.inputs);
      const now = files.every((input) => existsSync(input)) && hashesOf(files);
      if (before.how === how && JSON.stringify(now) === JSON.stringify(before.inputs)) return;
    }
    rmSync(record, { force: true });
    const rule = path.join(ptxFolder, `${name}.d`);
    const source = path.join(sources, file);
    await output(nvcc, [...flags, ...options, "-MD", "-MF", rule, source, "-o", ptx]);
    const inputs = hashesOf(dependencies(readFileSync(rule, "utf8")));
    writeFileSync(record, JSON.stringify({ how, inputs }));
  });
  return [...names];
}

/**
 * Builds the CUDA module that interprets PTX.
 * @returns its file
 * @throws if that fails; there must be a build with the emulation (scripts/build.mjs)
 */
export async function buildInterpreter() {
  const target = "trainformer_cuda_ptx";
  await output("cmake", ["--build", path.join(root, "build", "cmake-release"), "--target", target]);
  return path.join(root, "build", "Release", `${target}.so`);
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const nvcc = findNvcc();
  if (!nvcc) {
    console.error("no nvcc in the PATH, in CUDA_HOME or in build/cuda-toolkit: no PTX");
    process.exit(noNvcc);
  }
  try {
    await buildPtx(nvcc);
    console.log(ptxFolder);
    if (process.argv.includes("--interpreter")) console.log(await buildInterpreter());
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
