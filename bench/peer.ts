/**
 * Processes that do the work to be compared when asked to, and say how long it took: this library's and its peers'.
 *
 * They read a JSON object per line and answer each with one. The first line says what to prepare; the answer to it is
 * `{"version": ...}`, or `{"missing": why}`.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { info } from "../src/native.ts";
import type { Elsewhere } from "./measure.ts";
import { peersFolder } from "./peers/folder.ts";

/** The Python to compare with, if `chosen` does not say. */
export function findPython(chosen: string | undefined): string {
  const installed = path.join(peersFolder, "venv/bin/python");
  return chosen ?? (existsSync(installed) ? installed : "python3");
}

/** What the libraries read when they load. Waiting threads shall not spin for longer than the pause between turns. */
const environment = (threads: number): NodeJS.ProcessEnv => ({
  ...process.env,
  TRAINFORMER_THREADS: String(threads),
  OMP_NUM_THREADS: String(threads),
  MKL_NUM_THREADS: String(threads),
  MKL_DYNAMIC: "FALSE",
  OPENBLAS_NUM_THREADS: String(threads),
  OPENBLAS_THREAD_TIMEOUT: "24", // log2 of clock cycles
  TORCHINDUCTOR_CACHE_DIR: path.join(peersFolder, "inductor"),
});

/** Enough for threads that spin after their work. */
export const pauseMs = 15;

/** A line for each peer that is missing. */
export const missing = new Set<string>();
export function reportMissing(name: string, why: string): void {
  const line = `${name} is missing: ${why}`;
  if (!missing.has(line)) console.log(line);
  missing.add(line);
}

export interface PeerProcess {
  /** For the tables. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
}

/** This library in a process of its own: a program of bench/peers. */
export const ourProcess = (program: string): PeerProcess => ({
  name: "trainformer",
  command: process.execPath,
  args: [path.join(import.meta.dirname, "peers", `${program}.js`)],
});

export class Peer {
  readonly name: string;
  version = "";
  /** The largest memory of the process, when it last said so. */
  peakBytes = 0;
  private readonly process: ChildProcess;
  private readonly answers: AsyncIterator<string>;

  private constructor({ name, command, args }: PeerProcess, threads: number) {
    this.name = name;
    this.process = spawn(command, args, {
      stdio: ["pipe", "pipe", "inherit"],
      env: environment(threads),
    });
    this.process.on("error", () => {}); // its output ends, which ask() reports
    this.process.stdin!.on("error", () => {});
    this.answers = createInterface({ input: this.process.stdout! })[Symbol.asyncIterator]();
  }

  /** Undefined, and a line that says so, if it cannot be started. */
  static async start(what: PeerProcess, threads: number, setup: object): Promise<Peer | undefined> {
    const peer = new Peer(what, threads);
    let why: string | undefined;
    try {
      const answer = await peer.ask<{ version: string; missing?: string }>({ threads, ...setup });
      peer.version = answer.version;
      why = answer.missing;
    } catch (error) {
      why = (error as Error).message;
    }
    if (why === undefined) return peer;
    reportMissing(what.name, why);
    peer.stop();
    return undefined;
  }

  async ask<T>(request: object): Promise<T> {
    this.process.stdin!.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.answers.next();
    if (done) throw new Error("its process ended without an answer");
    const answer = JSON.parse(value);
    if (answer.peakBytes !== undefined) this.peakBytes = answer.peakBytes;
    return answer as T;
  }

  stop(): void {
    this.process.stdin!.end();
    this.process.kill();
  }
}

/** Work of a peer that takes turns with other work. */
export class Job implements Elsewhere {
  readonly peer: Peer;
  readonly request: object;

  constructor(peer: Peer, request: object) {
    this.peer = peer;
    this.request = request;
  }

  async turn(repetitions: number): Promise<number> {
    const { ms } = await this.peer.ask<{ ms: number }>({ ...this.request, repetitions });
    return ms;
  }
}

/** The numbers of threads to compare with, unless the command line says otherwise. */
export const defaultThreads = (): string[] => [...new Set([1, info().cores])].map(String);
