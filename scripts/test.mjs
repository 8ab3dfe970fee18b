/**
 * `npm test [-- vitest's arguments]`: builds what is out of date and runs the tests. The last line that it prints is
 * `N passed, N failed`, with `, N skipped` if any were; the exit status is that of vitest.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { ensureBuilt, root } from "./build.mjs";
import { findNvcc } from "./cuda-ptx.mjs";

ensureBuilt();

// What several test files want and would otherwise build at the same time.
if (process.argv.length === 2 && process.platform === "linux" && process.arch === "x64") {
  const hasNvcc = findNvcc() !== undefined;
  const modules = ["trainformer_cuda_checked", ...(hasNvcc ? ["trainformer_cuda_ptx"] : [])];
  const builds = [
    ["cmake", "--build", path.join(root, "build/cmake-release"), "--target", ...modules],
    ...(hasNvcc ? [[process.execPath, path.join(root, "scripts/cuda-ptx.mjs")]] : []),
  ];
  for (const [command, ...args] of builds) {
    console.error(`building ${path.basename(args.at(-1))} for the tests ...`);
    const { status, stdout } = spawnSync(command, args, { stdio: ["ignore", "pipe", 2], encoding: "utf8" });
    if (status !== 0) console.error(stdout); // the tests that want it will fail
  }
}

const report = path.join(root, "build", "test-results.json");
rmSync(report, { force: true });
const { status, error } = spawnSync(
  process.execPath,
  [
    path.join(root, "node_modules/vitest/vitest.mjs"),
    "run",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
    ...process.argv.slice(2),
  ],
  { cwd: root, stdio: "inherit" },
);
if (error) console.error(error.message);

/** How many tests ended how. A file that could not be loaded, or a crash, counts as a failed test. */
function countTests() {
  if (!existsSync(report)) return { passed: 0, failed: 1, skipped: 0 };
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults } = JSON.parse(
    readFileSync(report, "utf8"),
  );
  const broken = testResults.filter(
    (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"),
  );
  const failed = numFailedTests + broken.length;
  return {
    passed: numPassedTests,
    failed: status === 0 ? failed : Math.max(failed, 1),
    skipped: numPendingTests + numTodoTests,
  };
}

const { passed, failed, skipped } = countTests();
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exit(status ?? 1);
