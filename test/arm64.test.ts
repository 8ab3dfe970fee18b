import path from "node:path";
import { expect, test } from "vitest";
import { isSanitized, root, run } from "./child.ts";

/** What scripts/arm64.mjs ends with where it cannot get a cross compiler, QEMU or an ARM64 Node.js. */
const notPossible = 3;

test.skipIf(isSanitized || process.platform !== "linux" || process.arch === "arm64")(
  "the kernels of ARM64 compute what those of this processor do",
  async ({ skip }) => {
    const { status, stdout, stderr } = await run(process.execPath, [path.join(root, "scripts/arm64.mjs")], {
      cwd: root,
      timeout: 900_000,
    });
    if (status === notPossible) {
      console.warn(stderr.trim());
      skip(stderr.trim());
    }
    expect(status, `${stdout.slice(-4000)}\n${stderr.slice(-8000)}`).toBe(0);
    const [, isas, passed] = stdout.match(/^arm64, (.+): (\d+) checks passed, 0 failed$/m) ?? [];
    expect(isas).toBe("scalar and neon");
    expect(Number(passed)).toBeGreaterThan(400);

    const gemm = path.join(root, "build/arm64/CMakeFiles/kernels_neon_f32.dir/native/ops/matmul.cc.o");
    const instructions = await run("aarch64-linux-gnu-objdump", ["--disassemble", gemm]);
    expect(instructions.stdout, "NEON's multiplication and addition").toMatch(/fmla\s+v\d+\.4s/);
  },
  900_000,
);
