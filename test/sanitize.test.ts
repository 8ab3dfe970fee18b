import path from "node:path";
import { expect, test } from "vitest";
import { isSanitized, root, run } from "./child.ts";

/** The larger sizes and the other checks of these files are for `npm run sanitize`. */
const quick = "^(?!.*(same bits|bf16 errs|seed [234]))";

test.skipIf(isSanitized || process.platform !== "linux")(
  "kernels and the native border pass AddressSanitizer and UndefinedBehaviorSanitizer",
  async () => {
    const env = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !name.startsWith("VITEST")),
    );
    const args = [
      path.join(root, "scripts/sanitize.mjs"),
      "test/ops",
      "test/border",
      "test/mixed-precision",
      "-t",
      quick,
    ];
    const { status, stdout, stderr } = await run(process.execPath, args, {
      cwd: root,
      env: { ...env, NO_COLOR: "1" },
      timeout: 900_000,
    });
    expect(status, `${stdout.slice(-4000)}\n${stderr.slice(-8000)}`).toBe(0);
    expect(Number(stdout.match(/Tests +(\d+) passed/)?.[1])).toBeGreaterThan(100);
  },
  900_000,
);
