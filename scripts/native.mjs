#!/usr/bin/env node
/**
 * Builds the native addon: `node scripts/native.mjs [Release|Debug] [-DOPTION=VALUE ...]`.
 *
 * CMakeLists.txt describes the build; cmake-js runs CMake and brings the Node-API headers. The addon is
 * build/<config>/trainformer.node, CMake's own files are in build/cmake-<config>. Only what changed is built again.
 *
 * node-gyp (binding.gyp) and prebuildify (scripts/prebuilds.mjs) run this file too; the arguments that prebuildify has
 * for node-gyp are ignored.
 */
import { spawnSync } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

const hasProgram = (name) =>
  (process.env.PATH ?? "").split(path.delimiter).some((folder) => existsSync(path.join(folder, name)));

/** What this machine lacks for the build, as a sentence; undefined if nothing obvious. */
function missingTools() {
  const missing = [];
  if (!hasProgram("cmake")) missing.push("CMake 3.20 or newer");
  if (!["c++", "g++", "clang++"].some(hasProgram)) missing.push("a C++17 compiler");
  if (!["ninja", "make"].some(hasProgram)) missing.push("Ninja or make");
  if (missing.length === 0) return undefined;
  return `the native build needs ${missing.join(" and ")} (on Debian: apt-get install cmake g++ ninja-build)`;
}

/**
 * @param {{ config?: "Release" | "Debug", tree?: string, options?: string[], quiet?: boolean }} [settings]
 *   `tree`: the folder of CMake's files; `options`: -DNAME=VALUE; `quiet`: show the compiler's output only if it fails
 * @throws if the build fails
 */
export function buildNative({ config = "Release", tree, options = [], quiet = false } = {}) {
  const missing = process.platform === "win32" ? undefined : missingTools();
  if (missing) throw new Error(missing);
  const cmakeJs = createRequire(import.meta.url).resolve("cmake-js/bin/cmake-js");
  const argsOf = (task) => [
    ...[task, "--directory", root, "--config", config],
    ...["--out", tree ?? path.join(root, "build", `cmake-${config.toLowerCase()}`)],
    ...["--parallel", String(os.availableParallelism())],
    ...options.map((option) => option.replace(/^-D/, "--CD")),
  ];
  const env = { ...process.env };
  for (const name of ["MAKEFLAGS", "MFLAGS", "MAKELEVEL"]) delete env[name]; // set when node-gyp's make runs this file
  // "build" configures a new tree only, and an old one may have other options.
  for (const task of options.length > 0 ? ["configure", "build"] : ["build"]) {
    const { status, error, stdout, stderr } = spawnSync(process.execPath, [cmakeJs, ...argsOf(task)], {
      stdio: ["ignore", quiet ? "pipe" : "inherit", quiet ? "pipe" : "inherit"],
      maxBuffer: 1 << 28,
      cwd: root,
      env,
    });
    if (status === 0) continue;
    if (quiet) process.stderr.write(`${stdout ?? ""}${stderr ?? ""}`);
    throw new Error(`the native build failed${error ? `: ${error.message}` : " (see above)"}`);
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const args = process.argv.slice(2);
  try {
    buildNative({
      config: args.some((arg) => /^(--)?debug$/i.test(arg)) ? "Debug" : "Release",
      options: args.filter((arg) => arg.startsWith("-D")),
    });
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
