import { describe, expect, test } from "vitest";
import { isSanitized, program, runNode, runSource } from "./child.ts";

describe("worker threads", () => {
  test("train beside each other with the same results", async () => {
    const { status, stdout, stderr } = await runNode([program("workers.mjs")]);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    const [main, ...others] = JSON.parse(stdout) as number[][];
    expect(others).toHaveLength(4);
    expect(main!.every(Number.isFinite)).toBe(true);
    expect(main![19]).toBeLessThan(main![0]!);
    for (const other of others) expect(other).toEqual(main);
  });

  test("may be the only ones that use the library", async () => {
    const { status, stdout, stderr } = await runSource(`
      import { Worker } from "node:worker_threads";
      const source = \`
        import("trainformer").then(({ matmul, randn }) => {
          matmul(randn([256, 256]), randn([256, 256])).data();
          setTimeout(() => process.exit(3), 20);
        });
      \`;
      for (let i = 0; i < 5; i++) {
        const worker = new Worker(source, { eval: true });
        console.log(await new Promise((resolve) => worker.once("exit", resolve)));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }`);
    expect({ status, stdout }, stderr).toEqual({ status: 0, stdout: "3\n".repeat(5) });
  });

  test("end while views of their memory exist", async () => {
    const { status, stdout, stderr } = await runNode([program("endings.mjs"), "viewsOfWorker"]);
    expect(stderr).toBe("");
    expect({ status, codes: JSON.parse(stdout).codes }).toEqual({ status: 0, codes: [0, 0, 0, 0, 0] });
  });
});

/** The sanitized addon has no queue to end in the middle of. */
describe.skipIf(isSanitized)("ends at once in the middle of queued work", () => {
  const end = (how: string) => runNode([program("endings.mjs"), how], { timeout: 60_000 });

  test.each([
    ["return", 0],
    ["exit", 7],
    ["exitWhileReading", 7],
    ["exitOfMainWithWorkers", 9],
  ])("%s", async (how, code) => {
    const { status, stderr, seconds } = await end(how);
    expect(stderr).toBe("");
    expect(status).toBe(code);
    expect(seconds).toBeLessThan(10);
  });

  test("throw", async () => {
    const { status, stderr, seconds } = await end("throw");
    expect(stderr).toContain("Error: on purpose");
    expect(status).toBe(1);
    expect(seconds).toBeLessThan(10);
  });

  test.each([
    ["terminate", [1, 1, 1, 1, 1, 1, 1]],
    ["exitOfWorker", [5]],
  ])("%s", async (how, codes) => {
    const { status, stdout, stderr, seconds } = await end(how);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(JSON.parse(stdout).codes).toEqual(codes);
    expect(seconds).toBeLessThan(20);
  });
});

test.skipIf(isSanitized)("the event loop stays alive while native work runs", { retry: 4 }, async () => {
  const { status, stdout, stderr } = await runNode([program("lag.mjs")]);
  expect(stderr).toBe("");
  expect(status).toBe(0);
  const { p99, ticks, elapsed } = JSON.parse(stdout);
  expect(elapsed).toBeGreaterThan(1000);
  expect(ticks).toBeGreaterThan(elapsed / 30);
  expect(p99).toBeLessThan(50);
});
