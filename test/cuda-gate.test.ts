import path from "node:path";
import { expect, test } from "vitest";
import { isSanitized, root, run } from "./child.ts";

/** What scripts/cuda-gate.mjs ends with where there is no nvcc. */
const notPossible = 3;

test.skipIf(isSanitized)(
  "the machine code of the CUDA kernels keeps to cuda/gate.json: registers, spills, occupancy, tensor cores",
  async ({ skip }) => {
    const { status, stdout, stderr } = await run(
      process.execPath,
      [path.join(root, "scripts/cuda-gate.mjs")],
      {
        cwd: root,
        timeout: 1_800_000,
      },
    );
    if (status === notPossible) {
      console.warn(stderr.trim());
      skip(stderr.trim());
    }
    expect(status, stderr.slice(-8000)).toBe(0);
    expect(Number(stdout.match(/^(\d+) kernels, sm_80, sm_90, sm_90a: nothing/m)?.[1])).toBeGreaterThan(200);
  },
  1_800_000,
);
