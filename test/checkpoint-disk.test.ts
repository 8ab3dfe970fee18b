import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { CheckpointError, collator, latestCheckpoint, Trainer } from "../src/index.ts";
import { examples, temporaryFolder, tinyGPT, weightsOf } from "./trainer-cases.ts";

const mounted: string[] = [];
afterAll(() => {
  for (const folder of mounted) execFileSync("umount", [folder]);
});

/** A folder on a file system of its own, or undefined where none can be mounted. */
function smallDisk(options: string): string | undefined {
  const folder = temporaryFolder();
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", folder], { stdio: "ignore" });
  } catch {
    return undefined;
  }
  mounted.push(folder);
  return folder;
}

const options = (outputDir: string) => ({
  ...{ outputDir, trainData: examples(12), collate: collator(), perDeviceTrainBatchSize: 4 },
  ...{ maxSteps: 9, saveSteps: 3, learningRate: 1e-2, loggingSteps: 1, saveTotalLimit: 1 },
});
const model = () => tinyGPT({ hiddenSize: 32, dropout: 0.1 });

/** What a file system refuses: in which folder, and what it is to refuse more from the fourth update on. */
const faults = {
  "a full disk": {
    make: () => smallDisk("size=2m"),
    // the checkpoint of step 3 fits, the one of step 6 finds too little room left
    break: (folder: string) =>
      writeFileSync(path.join(folder, "filler"), Buffer.alloc(2 ** 21 - bytesUsed(folder) - 40_000)),
    reason: /ENOSPC|no space left/,
  },
  "a folder that became read-only": {
    make: () => smallDisk("size=8m"),
    break: (folder: string) => execFileSync("mount", ["-o", "remount,ro", folder]),
    reason: /EROFS|read-only/,
  },
  "a folder that became a file": {
    make: () => path.join(temporaryFolder(), "run"),
    break: (folder: string) => {
      execFileSync("mv", [folder, `${folder}.before`]);
      writeFileSync(folder, "");
    },
    reason: /ENOTDIR|EEXIST/,
  },
};

const bytesUsed = (folder: string): number =>
  Number(execFileSync("du", ["-s", "--block-size=1", folder]).toString().split("\t")[0]);

describe("a checkpoint that cannot be saved", () => {
  test.each(Object.entries(faults))(
    "%s: an error that says so, and the training is not lost",
    async (_, fault) => {
      const outputDir = fault.make();
      if (outputDir === undefined) {
        console.warn("not tested: no file system can be mounted");
        return;
      }
      const whole = model();
      await new Trainer(whole, options(temporaryFolder())).train();

      const broken = new Trainer(model(), {
        ...options(outputDir),
        callbacks: [{ onStepEnd: ({ state }) => void (state.globalStep === 4 && fault.break(outputDir)) }],
      });
      const error = await broken.train().then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(error).toBeInstanceOf(CheckpointError);
      expect((error as Error).message).toMatch(
        /checkpoint-6: cannot be saved; what was saved before is still there/,
      );
      expect((error as Error).message).toMatch(fault.reason);

      const before = outputDir.endsWith("run") ? `${outputDir}.before` : outputDir;
      expect(readdirSync(before).filter((name) => name !== "filler")).toEqual(["checkpoint-3"]);
      expect(await latestCheckpoint(before)).toBe(path.join(before, "checkpoint-3"));

      const elsewhere = temporaryFolder();
      expect(await broken.saveCheckpoint({ outputDir: elsewhere })).toBe(
        path.join(elsewhere, "checkpoint-6"),
      );
      for (const folder of [path.join(before, "checkpoint-3"), path.join(elsewhere, "checkpoint-6")]) {
        const resumed = new Trainer(model(), options(temporaryFolder()));
        expect((await resumed.train({ resumeFromCheckpoint: folder })).globalStep).toBe(9);
        expect(await weightsOf(resumed.model)).toEqual(await weightsOf(whole));
      }
    },
  );

  test("a process that may not write such large files ends with that error", async () => {
    const outputDir = temporaryFolder();
    const source = `
      import { collator, GPT, Trainer } from "trainformer";
      const model = new GPT({ vocabSize: 99, contextLength: 8, numLayers: 2, numHeads: 2, hiddenSize: 64 });
      const trainData = [{ inputIds: [1, 2, 3], targets: [2, 3, 4] }];
      const trainer = new Trainer(model, { trainData, collate: collator(), outputDir: ${JSON.stringify(outputDir)}, maxSteps: 1 });
      await trainer.train().catch(({ code, message }) => console.log(code, message));
    `;
    const file = path.join(temporaryFolder(), "run.mjs");
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, source.replace('"trainformer"', JSON.stringify(path.resolve("dist/index.js"))));
    const shell = `trap '' XFSZ; ulimit -f 100; exec ${process.execPath} ${file}`;
    const output = execFileSync("bash", ["-c", shell], { encoding: "utf8" });
    expect(output).toMatch(/^ERR_CHECKPOINT .*checkpoint-1: cannot be saved.*(EFBIG|file too large)/);
    expect(readdirSync(outputDir)).toEqual([]);
  });
});

test("what a run that was killed left behind is put right when the next one begins", async () => {
  const outputDir = temporaryFolder();
  await new Trainer(tinyGPT(), { ...options(outputDir), maxSteps: 3 }).train();
  const uuid = "0f8fad5b-d9cb-469f-a165-70867728950e";
  mkdirSync(path.join(outputDir, `.checkpoint-6.${uuid}.tmp`));
  execFileSync("mv", [path.join(outputDir, "checkpoint-3"), path.join(outputDir, "checkpoint-3.replaced")]);
  writeFileSync(path.join(outputDir, "notes.txt"), "mine");
  expect(await latestCheckpoint(outputDir)).toBe(path.join(outputDir, "checkpoint-3.replaced"));
  const { globalStep } = await new Trainer(tinyGPT(), options(outputDir)).train({
    resumeFromCheckpoint: true,
  });
  expect(globalStep).toBe(9);
  expect(readdirSync(outputDir).sort()).toEqual(["checkpoint-9", "notes.txt"]);
  expect(readFileSync(path.join(outputDir, "notes.txt"), "utf8")).toBe("mine");
});
