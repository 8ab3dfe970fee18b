import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isSanitized, root, run } from "./child.ts";

/**
 * Every CUDA kernel on the processor, at small and ragged sizes, against the kernels of the processor
 * (programs/kernels.ts): compiled; compiled with every access checked, in several orders of threads; and, where there is
 * nvcc, as the PTX that is shipped.
 */

/** What scripts/cuda-ptx.mjs ends with where there is no nvcc. */
const notPossible = 3;
const tree = path.join(root, "build", "cmake-release");
const programs = path.join(root, "build", "cuda-programs");
const temporary = mkdtempSync(path.join(os.tmpdir(), "trainformer-kernels-"));
afterAll(() => rmSync(temporary, { recursive: true }));

/** The folder of the PTX. */
let ptx = "";
let whyNoPtx = "";

/** One at a time: other files of tests build the same. */
const buildAlone = (command: string, args: readonly string[]) =>
  run("flock", [path.join(root, "build", "cuda.lock"), command, ...args], { cwd: root, timeout: 1_800_000 });

/** Calls of what depends on the compute capability: tiles of bf16, of which f32 is made too. */
const tiles = "^(matmul|attention_forward) (f32|bf16)";

interface Run {
  readonly module: "emulated" | "checked" | "ptx";
  readonly order?: "forward" | "reverse" | "random";
  readonly copies?: "late" | "early";
  /** What the device says that it is. Default 80; else only `tiles` are called. */
  readonly capability?: 80 | 86 | 90;
  /** Whether large products are those of gemm/hopper.cu, and the forward pass of attention is attention/hopper.cu. */
  readonly hopper?: boolean;
}
const runs: readonly Run[] = [
  { module: "emulated" },
  { module: "emulated", capability: 86 },
  { module: "emulated", capability: 90 },
  { module: "emulated", capability: 90, hopper: true },
  { module: "emulated", order: "random", copies: "early", capability: 90, hopper: true },
  { module: "checked", order: "forward", copies: "late" },
  { module: "checked", order: "reverse", copies: "early" },
  { module: "checked", order: "random", copies: "late" },
  { module: "checked", order: "random", copies: "early", capability: 86 },
  { module: "checked", order: "reverse", copies: "late", capability: 90 },
  { module: "checked", order: "forward", copies: "early", capability: 90, hopper: true },
  { module: "checked", order: "reverse", copies: "late", capability: 90, hopper: true },
  { module: "checked", order: "random", copies: "late", capability: 90, hopper: true },
  { module: "ptx", copies: "late" },
  { module: "ptx", copies: "early" },
  { module: "ptx", copies: "early", capability: 86 },
  { module: "ptx", copies: "late", capability: 90 },
];
const launchesOf = (module: string) => path.join(temporary, `${module}.launches`);

async function runKernels(
  { module, order = "forward", copies = "late", capability = 80, hopper = false }: Run,
  calls: string,
  env: NodeJS.ProcessEnv = {},
): Promise<{ count: number; digest: string }> {
  const { status, stdout, stderr } = await run(
    process.execPath,
    [path.join(programs, "test", "programs", "kernels.js"), calls],
    {
      cwd: root,
      timeout: 600_000,
      env: {
        ...process.env,
        TRAINFORMER_ADDON: path.join(root, "build", "Release", "trainformer.node"),
        TRAINFORMER_CUDA: module,
        TRAINFORMER_CUDA_PTX: ptx,
        TRAINFORMER_CUDA_ORDER: order,
        TRAINFORMER_CUDA_COPIES: copies,
        TRAINFORMER_CUDA_CAPABILITY: String(capability),
        TRAINFORMER_HOPPER: hopper ? "1" : "",
        TRAINFORMER_CUDA_MULTIPROCESSORS: "2", // few: large tiles are worth it, and so are parts of K
        TRAINFORMER_CUDA_LAUNCHES: launchesOf(module),
        TRAINFORMER_SYNC: "1", // every tensor is an allocation of its own: bounds are exact
        ...env,
      },
    },
  );
  expect(status, stderr.slice(-8000)).toBe(0);
  const [, count, digest] = stdout.match(/^(\d+) calls agree, 0 differ (\w{64})$/m)!;
  return { count: Number(count), digest: digest! };
}

describe.skipIf(isSanitized || process.platform !== "linux" || process.arch !== "x64")("CUDA kernels", () => {
  beforeAll(async () => {
    const tsc = path.join(root, "node_modules/typescript/bin/tsc");
    const typed = await run(process.execPath, [tsc, "-p", "test/programs", "--outDir", programs], {
      cwd: root,
    });
    expect(typed.status, typed.stdout).toBe(0);
    const checked = await buildAlone("cmake", ["--build", tree, "--target", "trainformer_cuda_checked"]);
    expect(checked.status, checked.stdout.slice(-8000)).toBe(0);
    const built = await buildAlone(process.execPath, ["scripts/cuda-ptx.mjs", "--interpreter"]);
    if (built.status === notPossible) {
      whyNoPtx = built.stderr.trim();
      console.warn(`not tested: ${whyNoPtx}`);
    } else {
      expect(built.status, built.stderr).toBe(0);
      [ptx = ""] = built.stdout.trim().split("\n");
    }
  }, 1_800_000);

  /** Of the checked runs of the same calls on the same device, which compute the same bits. */
  const digests = new Map<string, string>();

  test.for(
    runs.map(
      (each) =>
        [
          Object.entries(each)
            .map(([name, value]) => (value === true ? name : value))
            .join(" "),
          each,
        ] as const,
    ),
  )("compute what those of the processor do: %s", { timeout: 600_000 }, async ([, each], { skip }) => {
    if (each.module === "ptx" && whyNoPtx) skip(whyNoPtx);
    const { count, digest } = await runKernels(each, each.capability ? tiles : "");
    expect(count).toBeGreaterThan(each.capability ? 200 : 2000);
    if (each.module !== "checked") return;
    const device = `${each.capability} ${each.hopper}`;
    expect(digest, "orders with different bits").toBe(digests.get(device) ?? digest);
    digests.set(device, digest);
  });

  test.for(["emulated", "checked", "ptx"])("are all among them: %s", (module, { skip }) => {
    if (whyNoPtx) skip(whyNoPtx);
    const compiled = readdirSync(ptx)
      .filter((file) => (module === "ptx" ? /(?<!\.hopper)\.ptx$/ : /\.ptx$/).test(file)) // see scripts/cuda-ptx.mjs
      .flatMap((file) => [...readFileSync(path.join(ptx, file), "utf8").matchAll(/\.entry (\w+)/g)])
      .map(([, entry]) => entry!);
    expect(compiled.length).toBeGreaterThan(300);
    const ran = new Set(readFileSync(launchesOf(module), "utf8").split("\n"));
    expect(compiled.filter((entry) => !ran.has(entry))).toEqual([]);
  });

  test.for([
    [80, false],
    [86, false],
    [90, false],
    [90, true],
  ] as const)(
    "of tiles have no bank conflicts and read whole sectors: compute capability %d, hopper %s",
    { timeout: 600_000 },
    async ([capability, hopper]) => {
      const file = path.join(temporary, `${capability} ${hopper}.jsonl`);
      const env = { TRAINFORMER_CUDA_STATS: file };
      await runKernels({ module: "checked", capability, hopper }, " whole$", env);
      const rows = readFileSync(file, "utf8")
        .trim()
        .split("\n")
        .map((row) => JSON.parse(row) as { line: string; space: string; cost: number; ideal: number })
        .filter(({ line }) => /^(operand_tile|tiles|forward|dkv|dq|hopper)\.(h|cu):/.test(line));
      expect(rows.length).toBeGreaterThan(20);
      expect(rows.filter(({ cost, ideal }) => cost !== ideal)).toEqual([]);
    },
  );
});
