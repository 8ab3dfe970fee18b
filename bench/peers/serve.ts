/** The other end of ../peer.ts, for processes of Node. */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

export interface Server<Q> {
  readonly version: string;
  answer(request: Q): Promise<object>;
}

const firstLine = (error: unknown): string => (error as Error).message.split("\n")[0]!;
const write = (result: object): void => console.log(JSON.stringify(result));

/** Reads what to prepare and then one request after the other; `start` throws if something is missing. */
export async function serve<S, Q>(start: (setup: S) => Promise<Server<Q>>): Promise<void> {
  let server: Server<Q> | undefined;
  for await (const line of createInterface({ input: process.stdin })) {
    if (server !== undefined) {
      write(await server.answer(JSON.parse(line)));
      continue;
    }
    try {
      server = await start(JSON.parse(line));
      write({ version: server.version });
    } catch (error) {
      return write({ missing: firstLine(error) });
    }
  }
}

/** The largest memory of this process so far. What getrusage calls that includes the parent's at the time of the fork. */
export function peakBytes(): number {
  const status = readFileSync("/proc/self/status", "utf8");
  return 1024 * Number(/VmHWM:\s*(\d+) kB/.exec(status)![1]);
}

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

export interface Trainer {
  readonly version: string;
  /** Resolves with the loss when the step is done. */
  trainStep(): Promise<number>;
  /** The largest memory so far. Default: that of the process. */
  peakBytes?(): number;
}

/** Trains when asked to, `{"steps"}`, and answers with `Steps` of ../train.bench.ts. */
export const serveTraining = <S>(start: (setup: S) => Promise<Trainer>): Promise<void> =>
  serve<S, { steps: number }>(async (setup) => {
    const { version, trainStep, peakBytes: peak = peakBytes } = await start(setup);
    return {
      version,
      async answer({ steps }) {
        const wall: number[] = [];
        const cpu: number[] = [];
        let loss = Number.NaN;
        try {
          for (let i = 0; i < steps; i++) {
            const [wallStart, cpuStart] = [performance.now(), cpuMs()];
            loss = await trainStep();
            wall.push(performance.now() - wallStart);
            cpu.push(cpuMs() - cpuStart);
          }
        } catch (error) {
          return { failed: firstLine(error) };
        }
        return { wall, cpu, loss, peakBytes: peak() };
      },
    };
  });
