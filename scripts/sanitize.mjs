/**
 * `npm run sanitize [-- vitest's arguments]`: runs tests on an addon built with AddressSanitizer and
 * UndefinedBehaviorSanitizer, in build/asan; the one in build/Release stays as it is.
 *
 * Tile instructions (AMX) are loops in it, so that what uses them is tested on any processor with AVX-512.
 * That addon gives every tensor an allocation of its own (native/arena.cc) and runs each command before the call that
 * enqueued it returns (native/queue.cc), so a report points at the JavaScript that caused it.
 */
import { spawnSync } from "node:child_process";
import path from "node:path";
import { ensureBuilt, root } from "./build.mjs";
import { buildNative } from "./native.mjs";

const defaultTests = ["ops", "tensor", "autograd", "golden", "border", "workers", "mixed-precision"];

/** Sanitizers must be loaded before anything else; C++ exceptions need libstdc++ right behind them. */
function preloaded() {
  return ["libasan.so", "libubsan.so", "libstdc++.so.6"].map((library) => {
    const { stdout } = spawnSync("gcc", [`-print-file-name=${library}`], { encoding: "utf8" });
    const file = stdout?.trim();
    if (!file || !path.isAbsolute(file)) throw new Error(`sanitize: GCC has no ${library} (install g++)`);
    return file;
  });
}

try {
  ensureBuilt();
  const tree = path.join(root, "build", "asan");
  buildNative({
    tree,
    options: ["-DTRAINFORMER_SANITIZE=address,undefined", "-DTRAINFORMER_EMULATE_AMX=ON"],
    quiet: true,
  });
  const args = process.argv.slice(2);
  const { status } = spawnSync(
    process.execPath,
    [
      path.join(root, "node_modules/vitest/vitest.mjs"),
      "run",
      "--project",
      "cpu",
      ...(args.length > 0 ? args : defaultTests),
    ],
    {
      cwd: root,
      stdio: "inherit",
      env: {
        ...process.env,
        TRAINFORMER_ADDON: path.join(tree, "trainformer.node"),
        LD_PRELOAD: preloaded().join(":"),
        // Leaks are V8's to have; a failed allocation is for the addon to report.
        ASAN_OPTIONS: "detect_leaks=0:allocator_may_return_null=1:detect_stack_use_after_return=0",
        UBSAN_OPTIONS: "print_stacktrace=1",
      },
    },
  );
  process.exit(status ?? 1);
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
