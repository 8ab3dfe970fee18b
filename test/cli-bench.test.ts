import { expect, it } from "vitest";
import { cli, failure, lastLine } from "./cli-run.ts";

const { trainformer } = cli("cli-bench");
const bench = (...args: string[]) => trainformer(["bench", "--small", "--seconds", "0", ...args]);

it("measures everything on the processor, as JSON and as a table", async () => {
  const [json, table] = await Promise.all([
    bench("--device", "cpu", "--json"),
    bench("--device", "cpu", "--only", "product"),
  ]);
  expect([json.code, json.stderr, table.code, table.stderr]).toEqual([0, "", 0, ""]);
  const { rows } = lastLine(json.stdout);
  const names: string[] = rows.map(({ name }: { name: string }) => name);
  for (const what of ["product", "attention", "trains", "writes"]) {
    expect(names.filter((name) => name.includes(what)).length, what).toBe(2);
  }
  for (const { speeds } of rows) {
    const { median, slowest, fastest, runs } = speeds.cpu;
    expect(slowest).toBeGreaterThan(0);
    expect(median).toBeGreaterThanOrEqual(slowest);
    expect(fastest).toBeGreaterThanOrEqual(median);
    expect(runs).toBe(3);
  }
  expect(table.stdout).toMatch(/^trainformer \S+ · cpu \S+ · \d+ threads?/);
  expect(table.stdout).toMatch(/\nproduct 64 x 64, f32 +[\d.]+ +[\d.]+ +[\d.]+ +GFLOP\/s\n/);
  expect(Math.max(...table.stdout.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
});

it.runIf(process.platform === "linux" && process.arch === "x64")("measures a GPU beside it", async () => {
  const { code, stdout, stderr } = await trainformer(
    ["bench", "--small", "--seconds", "0", "--only", "product 64 x 64, f32"],
    { env: { TRAINFORMER_CUDA: "emulated" } },
  );
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/\nproduct 64 x 64, f32 +cpu +[\d.]/);
  expect(stdout).toMatch(/\nproduct 64 x 64, f32 +cuda +[\d.]/);
});

it.each([
  ["--only nothing", 2, "--only must be in one of product"],
  ["--device tpu", 2, "--device must be cpu, cuda or cuda:<number>"],
  ["--device cuda:99", 1, 'device "cuda:99"'],
])("%s: exit code %i", async (line, expectedCode, expected) => {
  const { message, exitCode } = await failure(`bench --small --seconds 0 ${line}`);
  expect(message).toContain(expected);
  expect(message).toMatch(/^trainformer [a-z ]+: [^\n]+$/);
  expect(exitCode).toBe(expectedCode);
});
