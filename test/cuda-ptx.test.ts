import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isSanitized, program, root, run } from "./child.ts";

/**
 * The PTX that nvcc makes of the kernels, interpreted: the only test of the inline assembly in cuda/prim.h. Where there is
 * no nvcc, this is not tested.
 */

/** What scripts/cuda-ptx.mjs ends with where there is no nvcc. */
const notPossible = 3;

let folder = "";
let module = "";
let whyNot = "";
const temporary = mkdtempSync(path.join(os.tmpdir(), "trainformer-ptx-"));
afterAll(() => rmSync(temporary, { recursive: true }));

/** The environment of a process whose CUDA device interprets the PTX of a folder. */
function interpreting(ptx: string): NodeJS.ProcessEnv {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("VITEST")));
  return {
    ...env,
    TRAINFORMER_DEVICE: "cuda",
    TRAINFORMER_CUDA: module,
    TRAINFORMER_CUDA_PTX: ptx,
    NO_COLOR: "1",
  };
}

/** The layouts of test/programs/product.mjs with their errors, or what went wrong. */
async function products(ptx: string): Promise<Record<string, number | string>> {
  const { stdout, stderr } = await run(process.execPath, [program("product.mjs")], {
    cwd: root,
    env: interpreting(ptx),
  });
  expect(stderr).toBe("");
  return JSON.parse(stdout);
}

/** What may go wrong in the device half of cuda/prim.h, or around it. */
const mutations: Record<string, (ptx: string) => string> = {
  "waiting for one group of copies less": (ptx) =>
    ptx.replace(/(cp\.async\.wait_group) (\d+)/g, (_, wait, pending) => `${wait} ${Number(pending) + 1}`),
  "no transposed matrices": (ptx) => ptx.replace(/(ldmatrix\S*?)\.trans/g, "$1"),
  "two registers of a swapped": (ptx) =>
    ptx.replace(/(mma\.sync\S+\s*\{[^}]*\},\s*\{)([^,]+),([^,]+),/g, "$1$3,$2,"),
  "no barriers": (ptx) => ptx.replace(/bar\.sync[^;]*;/g, ""),
  "halves of a pair swapped": (ptx) =>
    ptx.replace(/(cvt\.rn\.bf16x2\.f32\s+\S+,)\s*(\S+),\s*(\S+);/g, "$1 $3, $2;"),
};

describe.skipIf(isSanitized || process.platform !== "linux" || process.arch !== "x64")("PTX", () => {
  beforeAll(async () => {
    const args = [path.join(root, "scripts/cuda-ptx.mjs"), "--interpreter"];
    const { status, stdout, stderr } = await run(process.execPath, args, { cwd: root, timeout: 900_000 });
    if (status === notPossible) {
      whyNot = stderr.trim();
      console.warn(`not tested: ${whyNot}`);
    } else {
      expect(status, `${stdout}\n${stderr}`).toBe(0);
      [folder = "", module = ""] = stdout.trim().split("\n");
    }
  }, 900_000);

  test("multiplies matrices", async ({ skip }) => {
    if (whyNot) skip(whyNot);
    for (const error of Object.values(await products(folder))) expect(error).toBeLessThan(1 / 256);
  });

  test.for(Object.entries(mutations))(
    "is executed in earnest: %s changes products",
    async ([, mutate], { skip }) => {
      if (whyNot) skip(whyNot);
      const mutated = path.join(temporary, "mutated");
      rmSync(mutated, { recursive: true, force: true });
      cpSync(folder, mutated, { recursive: true, filter: (file) => !/\.(cubin|log|d|json)$/.test(file) });
      const file = path.join(mutated, "gemm.tiles.ptx");
      const before = readFileSync(file, "utf8");
      const after = mutate(before);
      expect(after).not.toBe(before);
      writeFileSync(file, after);
      const wrong = Object.values(await products(mutated)).filter((error) => !(Number(error) < 1 / 64));
      expect(wrong).not.toEqual([]);
    },
  );
});
