import { type SpawnOptions, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));
export const program = (name: string): string => fileURLToPath(new URL(`programs/${name}`, import.meta.url));

/** Whether these tests run on the addon of `npm run sanitize`, which is slower and runs each command at once. */
export const isSanitized = process.env.LD_PRELOAD?.includes("libasan") ?? false;

export interface Ending {
  /** Exit code, or the signal that ended it. */
  status: number | NodeJS.Signals;
  stdout: string;
  stderr: string;
  seconds: number;
}

/** Runs a program to its end, or kills it after `timeout` ms: then the status is SIGKILL. */
export function run(
  command: string,
  args: readonly string[],
  { timeout = 120_000, ...options }: SpawnOptions & { timeout?: number } = {},
): Promise<Ending> {
  const start = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    const killer = setTimeout(() => child.kill("SIGKILL"), timeout);
    let stdout = "";
    let stderr = "";
    child.stdout!.on("data", (chunk) => (stdout += chunk));
    child.stderr!.on("data", (chunk) => (stderr += chunk));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(killer);
      resolve({ status: code ?? signal!, stdout, stderr, seconds: (performance.now() - start) / 1000 });
    });
  });
}

/** Runs a file of test/programs, or `source` itself. It may import "trainformer", which is dist/. */
export const runNode = (args: readonly string[], options: { timeout?: number } = {}): Promise<Ending> =>
  run(process.execPath, args, { cwd: root, ...options });
export const runSource = (source: string, options: { timeout?: number } = {}): Promise<Ending> =>
  runNode(["--expose-gc", "--input-type=module", "--eval", source], options);
