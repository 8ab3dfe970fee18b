import { defineConfig } from "vitest/config";

/** What runs a second time, on the CUDA device that the processor emulates (cuda/emulation/README.md). */
const onCuda = [
  "ops",
  "positions",
  "autograd",
  "golden",
  "golden-decoders",
  "golden-encoders",
  "golden-seq2seq",
  "golden-ops",
  "mixed-precision",
  "attention",
  "attention-options",
  "attention-scores",
  "cache-ops",
  "linearcrossentropy",
  "random",
  "tensor",
  "training",
  "trainer",
  "trainer-computing",
  "trainer-golden",
  "optimizers",
  "parameter-groups",
  "generate-models",
  "device",
  "profile",
  "memory-estimate",
  "trace",
  "trace-edits",
  "trace-measured",
  "ensemble",
].map((name) => `test/${name}.test.ts`);
const isEmulated = process.platform === "linux" && process.arch === "x64";
if (!isEmulated) console.warn("not tested: CUDA, which is emulated on Linux x64 only");

export default defineConfig({
  test: {
    pool: "forks", // a crash of native code ends one file's process, not the run
    execArgv: ["--expose-gc"],
    maxWorkers: 2,
    testTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: { name: "cpu", include: ["test/**/*.test.ts"], exclude: ["test/device.test.ts"] },
      },
      ...(isEmulated
        ? [
            {
              extends: true as const,
              test: {
                name: "cuda",
                include: onCuda,
                env: { TRAINFORMER_CUDA: "emulated", TRAINFORMER_DEVICE: "cuda" },
              },
            },
          ]
        : []),
    ],
  },
});
