import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { isSanitized, program, runNode } from "./child.ts";

const folder = mkdtempSync(path.join(tmpdir(), "trainformer-malformed-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** 530 files of four kinds, in a process with a small heap and an address space that ends soon. */
test.skipIf(isSanitized)(
  "a malformed file is refused with a code and costs no more than its bytes",
  async () => {
    const { status, stdout, stderr } = await runNode([
      ...["--expose-gc", "--max-old-space-size=128"],
      ...[program("malformed-files.mjs"), "2024", folder],
    ]);
    expect(status, stderr.slice(-4000)).toBe(0);
    const { wrong, slowest, grownMiB, ...kinds } = JSON.parse(stdout);
    expect(wrong).toEqual([]);
    expect(slowest).toBeLessThan(5000);
    expect(grownMiB).toBeLessThan(100);
    for (const [kind, { refused, read }] of Object.entries<{ refused: number; read: number }>(kinds)) {
      expect(refused, kind).toBeGreaterThan(35);
      expect(read, kind).toBeGreaterThan(4);
    }
  },
);
