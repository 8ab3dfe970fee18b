import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { root, runNode } from "./child.ts";

const folder = mkdtempSync(path.join(tmpdir(), "trainformer-examples-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs an example as its users do, but quickly, and gives the line of scores that it ends with. */
async function quickly(name: string, ...args: string[]) {
  const out = path.join(folder, name);
  const options = ["--quick", "--json", "--out", out, ...args];
  const { status, stdout, stderr } = await runNode([path.join(root, "examples", name), ...options]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(existsSync(path.join(out, "model.safetensors"))).toBe(true);
  return JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
}

test("translation: the loss of held-out messages falls, and some words are right", async () => {
  const { losses, model, memory } = await quickly("translation.mjs", "--to", "fr");
  expect(losses.at(-1)).toBeLessThan(losses[0] - 1);
  expect(model.bleu).toBeGreaterThan(0);
  expect(memory.bleu).toBeGreaterThan(20);
});

test("summaries: the loss falls, and some words are right", async () => {
  const { losses, model, nearest } = await quickly("summaries.mjs");
  expect(losses.at(-1)).toBeLessThan(losses[0] - 1);
  expect(model.rouge1.f1).toBeGreaterThan(0);
  expect(nearest.rougeL.f1).toBeGreaterThan(0.4);
});

test("replies: the loss falls, and ten replies are ranked", async () => {
  const { losses, accuracy, perplexity } = await quickly("replies.mjs");
  expect(losses.at(-1)).toBeLessThan(losses[0] - 1);
  expect(perplexity).toBeLessThan(1000); // each of its 1000 tokens with the same probability
  expect(accuracy).toBeGreaterThanOrEqual(0);
});
