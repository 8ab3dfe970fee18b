import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks", // a crash of native code ends one file's process, not the run
    execArgv: ["--expose-gc"],
    maxWorkers: 2,
    testTimeout: 60_000,
  },
});
