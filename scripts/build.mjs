/**
 * `npm run build`: builds what is missing or out of date, and says nothing if that is nothing.
 *
 *   node_modules                     npm ci
 *   build/Release/trainformer.node   scripts/native.mjs
 *   build/Release/trainformer_cuda_emulated.so
 *   build/Release/trainformer_cuda.so, where nvcc is found
 *   dist/                            tsc, and for dist/pages scripts/pages.mjs
 *
 * Other scripts call `ensureBuilt()` before they import anything that is not part of Node, so each of them works in a
 * fresh clone.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { buildNative } from "./native.mjs";

/** For the tests; what is shipped is built without it (scripts/prebuilds.mjs). */
const emulation =
  process.platform === "linux" && process.arch === "x64" ? ["-DTRAINFORMER_CUDA_EMULATION=ON"] : [];

export const root = fileURLToPath(new URL("..", import.meta.url));
const inRoot = (name) => path.join(root, name);
const readJson = (file) => JSON.parse(readFileSync(file, "utf8"));

function* filesUnder(name) {
  if (!statSync(inRoot(name)).isDirectory()) return yield name;
  for (const entry of readdirSync(inRoot(name)).sort()) yield* filesUnder(path.join(name, entry));
}

/** The content of each file among `names` (files or folders), as a hash. */
function hashes(names) {
  const files = names.filter((name) => existsSync(inRoot(name))).flatMap((name) => [...filesUnder(name)]);
  const hash = (file) =>
    createHash("sha256")
      .update(readFileSync(inRoot(file)))
      .digest("hex");
  return Object.fromEntries(files.map((file) => [file, hash(file)]));
}

/** Runs `build` with the list of changed files, unless `product` was built from the same `inputs` before. */
function buildIfStale(product, inputs, what, build) {
  const record = inRoot(path.join("build", `${path.basename(product)}.inputs.json`));
  const before = existsSync(record) ? readJson(record) : {};
  const now = hashes(inputs);
  const changed = Object.keys(now).filter((file) => now[file] !== before[file]);
  const isRemoved = Object.keys(before).some((file) => !(file in now));
  if (existsSync(inRoot(product)) && changed.length === 0 && !isRemoved) return;

  const unchanged = Object.entries(now).filter(([file]) => !changed.includes(file));
  mkdirSync(path.dirname(record), { recursive: true });
  writeFileSync(record, JSON.stringify({ ...Object.fromEntries(unchanged), "unfinished build": "" }));
  timed(what, () => build(changed));
  writeFileSync(record, JSON.stringify(now));
}

function timed(what, build) {
  const start = performance.now();
  console.error(`${what} ...`);
  build();
  console.error(`${what}: done in ${((performance.now() - start) / 1000).toFixed(0)} s`);
}

/** Whether node_modules holds what package-lock.json names, packages for other platforms aside. */
function areDependenciesInstalled() {
  const installedLock = inRoot("node_modules/.package-lock.json");
  if (!existsSync(installedLock)) return false;
  const installed = readJson(installedLock).packages;
  return Object.entries(readJson(inRoot("package-lock.json")).packages).every(
    ([name, { version, optional }]) => name === "" || optional || installed[name]?.version === version,
  );
}

function installDependencies() {
  if (areDependenciesInstalled()) return;
  timed("installing dependencies", () => {
    const { status, error } = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel", "error"], {
      cwd: root,
      stdio: ["ignore", 2, 2],
      shell: process.platform === "win32",
    });
    if (status !== 0) throw new Error(`npm ci failed${error ? `: ${error.message}` : " (see above)"}`);
  });
}

function buildTypeScript() {
  if (!existsSync(inRoot("dist/index.js"))) rmSync(inRoot("build/tsbuildinfo"), { force: true });
  const tsc = inRoot("node_modules/typescript/bin/tsc");
  const { status } = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  if (status !== 0) throw new Error("tsc failed (see above)");
  const pages = spawnSync(process.execPath, [inRoot("scripts/pages.mjs")], { stdio: ["ignore", 2, 2] });
  if (pages.status !== 0) throw new Error("scripts/pages.mjs failed (see above)");
  for (const file of filesUnder("dist")) {
    if (path.dirname(file) === path.join("dist", "pages")) continue;
    const source = file.replace(/^dist/, "src").replace(/(\.d\.ts|\.js)$/, ".ts");
    if (!existsSync(inRoot(source))) rmSync(inRoot(file));
  }
}

/** Builds what is missing or out of date; ends the process with a message if that fails. */
export function ensureBuilt() {
  try {
    installDependencies();
    buildIfStale(
      "build/Release/trainformer.node",
      ["native", "cuda", "CMakeLists.txt", "scripts/native.mjs", "node_modules/node-addon-api/package.json"],
      "building the native addon",
      (changed) => {
        // Ninja and make go by dates, which a copied or restored file need not have.
        for (const file of changed) utimesSync(inRoot(file), new Date(), new Date());
        buildNative({ quiet: true, options: emulation });
      },
    );
    buildIfStale(
      "dist/index.js",
      [
        ...["src", "scripts/pages.mjs", "tsconfig.json", "tsconfig.build.json"],
        ...["node_modules/typescript/package.json", "node_modules/esbuild/package.json"],
      ],
      "building dist/",
      buildTypeScript,
    );
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}

if (process.argv[1] && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) ensureBuilt();
