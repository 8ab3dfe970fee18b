import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { GPT, latestCheckpoint, readSafetensors } from "../src/index.ts";
import { Random } from "../src/random.ts";
import { program, root } from "./child.ts";
import { temporaryFolder } from "./trainer-cases.ts";

/** How often the process is killed. TRAINFORMER_KILLS=50 tests more. */
const kills = Number(process.env.TRAINFORMER_KILLS ?? 10);
const maxSteps = 100 + 10 * kills;
const random = new Random(Number(process.env.TRAINFORMER_SEED ?? 20240522));

/** Trains in a process, which is killed so many ms after its first update. Gives its last line, if it came to its end. */
function train(outputDir: string, killAfter_ms = Infinity): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program("trainer-run.mjs"), outputDir, String(maxSteps)], {
      cwd: root,
    });
    let [output, errors] = ["", ""];
    let killer: NodeJS.Timeout | undefined;
    child.stdout.on("data", (chunk) => {
      output += chunk;
      if (killer === undefined && killAfter_ms < Infinity) {
        killer = setTimeout(() => child.kill("SIGKILL"), killAfter_ms);
      }
    });
    child.stderr.on("data", (chunk) => (errors += chunk));
    child.on("close", (code, signal) => {
      clearTimeout(killer);
      if (code === 0) resolve(output.trimEnd().split("\n").at(-1));
      else if (signal === "SIGKILL") resolve(undefined);
      else reject(new Error(`exit ${code}: ${errors}`));
    });
  });
}

/** The newest checkpoint, every file of which must be whole. */
async function newestStep(outputDir: string): Promise<number> {
  const folder = await latestCheckpoint(outputDir);
  if (folder === undefined) return 0;
  await GPT.fromPretrained(folder);
  const state = JSON.parse(readFileSync(path.join(folder, "trainer_state.json"), "utf8"));
  JSON.parse(readFileSync(path.join(folder, "resume.json"), "utf8"));
  for (const name of ["optimizer", "ema"]) {
    const { tensors } = await readSafetensors(path.join(folder, `${name}.safetensors`));
    for (const { data } of tensors.values()) expect(data.every(Number.isFinite)).toBe(true);
  }
  return state.global_step;
}

test(`killed ${kills} times while it trains and saves: the newest checkpoint is whole, and the end is the same to the bit`, async () => {
  const expected = await train(temporaryFolder());
  let outputDir = temporaryFolder();
  let [step, complete] = [0, 0];
  const moments: string[] = [];
  for (let i = 0; i < kills; i++) {
    const result = await train(outputDir, 400 * random.uniform());
    const left = readdirSync(outputDir).filter((name) => !/^checkpoint-\d+$/.test(name));
    moments.push(result ? "at its end" : left.length > 0 ? "while it saved" : "while it trained");
    const now = await newestStep(outputDir);
    expect(now).toBeGreaterThanOrEqual(step);
    step = now;
    if (result === undefined) continue;
    expect(result).toBe(expected);
    complete++;
    outputDir = temporaryFolder();
    step = 0;
  }
  expect(await train(outputDir)).toBe(expected);
  expect(readdirSync(outputDir).every((name) => /^checkpoint-\d+$/.test(name))).toBe(true);
  const count = (moment: string) => moments.filter((m) => m === moment).length;
  console.log(
    `killed ${count("while it trained")} times between and ${count("while it saved")} times within checkpoints; ${complete} runs ended before`,
  );
  expect(JSON.parse(expected!).losses.length).toBeGreaterThan(maxSteps);
}, 600_000);
