/**
 * `node scripts/cuda-toolkit.mjs`: nvcc for a machine without one, from NVIDIA's Python packages, without root. It goes
 * to build/cuda-toolkit (300 MB), where CMakeLists.txt looks for it. Needs Python 3 with venv and pip.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, renameSync, rmSync, symlinkSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const version = "13.0.*";
const packages = ["cuda-nvcc", "cuda-crt", "nvvm", "cuda-runtime", "cuda-cccl"];

const folder = fileURLToPath(new URL("../build/cuda-toolkit", import.meta.url));

function run(command, ...args) {
  const { status, error } = spawnSync(command, args, { stdio: ["ignore", 2, 2] });
  if (status === 0) return;
  console.error(`${command} ${args.join(" ")} failed${error ? `: ${error.message}` : ""}`);
  process.exit(1);
}

rmSync(folder, { recursive: true, force: true });
const [venv, packed] = ["venv", "packages"].map((name) => path.join(folder, name));
run("python3", "-m", "venv", venv);
run(
  path.join(venv, "bin/python"),
  ...["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", packed],
  ...packages.map((name) => `nvidia-${name}==${version}`),
);
const toolkits = path.join(packed, "nvidia");
const toolkit = readdirSync(toolkits).find((name) => existsSync(path.join(toolkits, name, "bin/nvcc")));
if (toolkit === undefined) {
  console.error(`the packages have no bin/nvcc in ${toolkits}`);
  process.exit(1);
}
for (const part of readdirSync(path.join(toolkits, toolkit)))
  renameSync(path.join(toolkits, toolkit, part), path.join(folder, part));
symlinkSync("lib", path.join(folder, "lib64")); // where nvcc looks
rmSync(venv, { recursive: true });
rmSync(packed, { recursive: true });
console.error("nvcc is build/cuda-toolkit/bin/nvcc");
