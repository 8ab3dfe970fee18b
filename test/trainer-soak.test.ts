import { expect, test } from "vitest";
import { program, runNode } from "./child.ts";
import { temporaryFolder } from "./trainer-cases.ts";

/** TRAINFORMER_SOAK=5000 trains longer. */
const updates = Number(process.env.TRAINFORMER_SOAK ?? 2000);

test(`${updates} updates with evaluations, logs and checkpoints keep resident memory`, async () => {
  // V8 neither enlarges its young generation nor compiles code as it warms up: what is left is the library's.
  const v8 = ["--expose-gc", "--max-semi-space-size=1", "--jitless", "--no-expose-wasm"];
  const args = [...v8, program("trainer-soak.mjs"), temporaryFolder(), String(updates)];
  const { status, stdout, stderr } = await runNode(args, { timeout: 500_000 });
  expect(status, stderr).toBe(0);
  const { samples, lag, seconds } = JSON.parse(stdout);
  const [early, late] = samples;
  console.log(
    `resident ${(early.rss / 1e6).toFixed(1)} MB, then ${(late.rss / 1e6).toFixed(1)} MB; a timer of 10 ms late by ${lag.p50.toFixed(1)} ms (median), ${lag.p99.toFixed(1)} ms (99 %); ${seconds.toFixed(0)} s`,
  );
  expect(late.rss / early.rss).toBeLessThan(1.05);
  expect(late.tensors).toBeLessThan(early.tensors + 50); // what awaits the garbage collector
}, 600_000);
