import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { info } from "../src/native.ts";
import { isSanitized, program, root, run } from "./child.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "trainformer-simd-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const flags: Readonly<Record<string, readonly string[]>> = {
  scalar: [],
  avx2: ["-mavx2", "-mfma"],
  avx512: ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"],
  neon: ["-DTRAINFORMER_NEON"],
};
const isas = info().isas.filter(({ name, supported }) => supported && name in flags);

test.skipIf(isSanitized || process.platform !== "linux").each(isas)(
  "exp and reciprocal are within 2 ulp, $name",
  async ({ name }) => {
    const binary = path.join(folder, name);
    const options = [
      "-std=c++17",
      "-O3",
      "-Wno-psabi",
      "-fno-math-errno",
      "-fno-trapping-math",
      "-ffp-contract=fast",
    ];
    const compiled = await run("c++", [
      ...[...options, ...flags[name]!, "-DISA=test", "-DReal=float", `-I${path.join(root, "native")}`],
      ...[program("simd.cc"), "-o", binary],
    ]);
    expect(compiled.status, compiled.stderr).toBe(0);
    const { stdout } = await run(binary, []);
    const errors = new Map(
      stdout
        .trim()
        .split("\n")
        .map((line) => line.split(" ") as [string, string]),
    );
    expect([...errors.keys()]).toEqual(["exp", "reciprocal"]);
    for (const error of errors.values()) expect(Number(error)).toBeLessThanOrEqual(2);
  },
  120_000,
);

test("the flags are those of the build", () => {
  const cmake = readFileSync(path.join(root, "CMakeLists.txt"), "utf8");
  for (const option of [...flags.avx2!, ...flags.avx512!]) expect(cmake).toContain(option);
});
