/**
 * `npm run prebuilds`: everything that the npm package ships and the repository does not, dist/ and
 * prebuilds/<platform>-<arch>/trainformer.<libc>.node and trainformer_cuda.so, stripped. `npm pack` and `npm publish` run it first (prepack).
 *
 * prebuildify wants a folder whose build/Release it may empty; it gets build/prebuild, and scripts/native.mjs in the
 * place of node-gyp: the addon is the one that the tests ran on, and nothing is downloaded.
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { ensureBuilt, root } from "./build.mjs";

ensureBuilt();

const folder = path.join(root, "build", "prebuild");
const platform = `${process.platform}-${process.arch}`;
rmSync(folder, { recursive: true, force: true });
rmSync(path.join(root, "prebuilds", platform), { recursive: true, force: true });
mkdirSync(path.join(folder, "build"), { recursive: true });
// Not the folder: prebuildify ships every library beside the addon, and the modules of the tests are there too.
const addon = path.join("build", "Release", "trainformer.node");
cpSync(path.join(root, addon), path.join(folder, addon));

const { status } = spawnSync(
  process.execPath,
  [
    path.join(root, "node_modules/prebuildify/bin.js"),
    ...["--napi", "--strip", "--tag-libc", "--name", "trainformer", "--cwd", folder, "--out", root],
    ...["--node-gyp", path.join(root, "scripts/native.mjs")],
  ],
  { cwd: root, stdio: ["ignore", 2, 2] },
);
if (status !== 0) {
  console.error("prebuildify failed (see above)");
  process.exit(status ?? 1);
}
const cudaModule = path.join(root, "build", "Release", "trainformer_cuda.so");
if (existsSync(cudaModule)) {
  const shipped = path.join(root, "prebuilds", platform, "trainformer_cuda.so");
  const { status: stripped } = spawnSync("strip", ["-o", shipped, cudaModule], { stdio: ["ignore", 2, 2] });
  if (stripped !== 0) {
    console.error("strip failed (see above)");
    process.exit(1);
  }
} else {
  console.error(
    "no build/Release/trainformer_cuda.so: this package will have no CUDA (is nvcc in the PATH?)",
  );
}
console.error(`prebuilds/${platform}: ${readdirSync(path.join(root, "prebuilds", platform)).join(", ")}`);
