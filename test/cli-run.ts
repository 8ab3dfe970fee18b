import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll } from "vitest";
import { dispatch, failureOf } from "../src/cli/dispatch.ts";
import { root } from "./child.ts";

export interface Result {
  code: number | null;
  stdout: string;
  stderr: string;
  /** Writes to stdout that arrived apart. */
  chunks: number;
}

export interface RunOptions {
  /** What comes through stdin, which then ends. Default nothing. */
  input?: string;
  env?: NodeJS.ProcessEnv;
  onStart?: (child: Handle) => void;
  /** Is told what has been written, all of it so far, and can act on the process. */
  onStdout?: (written: string, child: Handle) => void;
  onStderr?: (written: string, child: Handle) => void;
  /** Leaves stdin open. */
  isInteractive?: boolean;
}

export interface Handle {
  kill(signal: NodeJS.Signals): void;
  /** Writes to stdin. */
  write(text: string): void;
  end(): void;
  /** Reads no more of its stdout. */
  hangUp(): void;
}

/** A folder of a test file's own, in which `trainformer` runs: the command of dist/, which is built before. */
export function cli(name: string) {
  const folder = mkdtempSync(path.join(tmpdir(), `trainformer-${name}-`));
  beforeAll(() => {
    const tsc = path.join(root, "node_modules/typescript/bin/tsc");
    execFileSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], { cwd: root });
    process.chdir(folder); // for what runs without a process of its own
  }, 120_000);
  afterAll(() => {
    process.chdir(root);
    rmSync(folder, { recursive: true });
  });

  const node = (args: readonly string[], options: RunOptions = {}) =>
    new Promise<Result>((resolve) => {
      const { input = "", env = {}, onStart, onStdout, onStderr, isInteractive = false } = options;
      const child = spawn(process.execPath, args, {
        cwd: folder,
        timeout: 50_000,
        env: { ...process.env, ...env },
      });
      const result = { stdout: "", stderr: "", chunks: 0 };
      const handle: Handle = {
        kill: (signal) => child.kill(signal),
        write: (text) => child.stdin.write(text),
        end: () => child.stdin.end(),
        hangUp: () => child.stdout.destroy(),
      };
      child.stdin.on("error", () => {}); // a process that has ended reads no more
      child.stdout.on("data", (data) => {
        result.stdout += data;
        result.chunks++;
        onStdout?.(result.stdout, handle);
      });
      child.stderr.on("data", (data) => {
        result.stderr += data;
        onStderr?.(result.stderr, handle);
      });
      child.on("close", (code) => resolve({ code, ...result }));
      onStart?.(handle);
      if (isInteractive) child.stdin.write(input);
      else child.stdin.end(input);
    });
  return {
    folder,
    inFolder: (file: string) => path.join(folder, file),
    node,
    trainformer: (args: readonly string[], options?: RunOptions) =>
      node([path.join(root, "dist/cli/main.js"), ...args], options),
  };
}

/** What a command that fails says, and its exit code, without a process of its own. */
export async function failure(line: string): Promise<{ message: string; exitCode: number }> {
  const args = line.split(" ").filter(Boolean);
  try {
    await dispatch(args);
  } catch (error) {
    return failureOf(args, error);
  }
  throw new Error(`trainformer ${line} must fail; it has not`);
}

/** The JSON object that stdout ends with. */
export const lastLine = (text: string) => JSON.parse(text.trimEnd().split("\n").at(-1)!);
