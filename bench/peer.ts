/** A process that trains when asked to, and says how long each step took. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { ModelSize } from "./models.ts";

export interface Steps {
  /** Milliseconds of each step: elapsed, and of CPU time on all threads. */
  readonly wall: readonly number[];
  readonly cpu: readonly number[];
  readonly loss: number;
  /** The largest memory of the process so far. */
  readonly peakBytes: number;
}

export class Peer {
  private readonly process: ChildProcess;
  private readonly answers: AsyncIterator<string>;
  private readonly command: string;
  version = "";

  private constructor(command: string, args: readonly string[]) {
    this.command = command;
    this.process = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.process.on("error", () => {}); // its output ends, which ask() reports
    this.process.stdin!.on("error", () => {});
    this.answers = createInterface({ input: this.process.stdout! })[Symbol.asyncIterator]();
  }

  static async start(
    command: string,
    args: readonly string[],
    model: ModelSize,
    threads: number,
  ): Promise<Peer> {
    const peer = new Peer(command, args);
    peer.version = (await peer.ask<{ version: string }>({ model, threads })).version;
    return peer;
  }

  train(steps: number, mode: string): Promise<Steps> {
    return this.ask<Steps>({ steps, mode });
  }

  private async ask<T>(request: object): Promise<T> {
    this.process.stdin!.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.answers.next();
    if (done) throw new Error(`${this.command} ended without an answer`);
    return JSON.parse(value) as T;
  }

  stop(): void {
    this.process.stdin!.end();
    this.process.kill();
  }
}
