// Builds the addon: node scripts/native.mjs [Release|Debug] [-- options for CMake, such as -DTRAINFORMER_SANITIZE=address]
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const cmakeJs = path.join(
  path.dirname(createRequire(import.meta.url).resolve("cmake-js/package.json")),
  "bin",
  "cmake-js",
);

/** Builds `config` incrementally into build/<config>; the CMake tree is build/cmake-<config>. Returns the exit status. */
export function buildNative(config = "Release", definitions = [], output = "inherit") {
  const env = { ...process.env };
  for (const name of ["MAKEFLAGS", "MFLAGS", "MAKELEVEL"]) delete env[name]; // node-gyp's make exports them
  const args = [
    "build",
    "--directory",
    root,
    "--out",
    path.join(root, "build", `cmake-${config.toLowerCase()}`),
  ];
  args.push(
    "--config",
    config,
    "--parallel",
    String(os.availableParallelism()),
    ...definitions.map((d) => d.replace(/^-D/, "--CD")),
  );
  const result = spawnSync(process.execPath, [cmakeJs, ...args], { stdio: output, env, cwd: root });
  if (result.status !== 0 && output === "pipe") process.stderr.write(`${result.stdout}${result.stderr}`);
  return result.status ?? 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [config = "Release", ...definitions] = process.argv.slice(2).filter((a) => a !== "--");
  process.exit(buildNative(/^debug$/i.test(config) ? "Debug" : "Release", definitions));
}
