/**
 * Training steps of a GPT in this library, in a process of its own, so that its memory can be told: the other side of
 * train_gpt.py, which describes what is read and answered.
 */
import { createInterface } from "node:readline";
import { configure } from "../../src/native.ts";
import { type ModelSize, makeTraining } from "../models.ts";

interface Setup {
  model: ModelSize;
  threads: number;
}

const answer = (result: object): void => console.log(JSON.stringify(result));
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const request = async <T>(): Promise<T | undefined> => {
  const { value, done } = await lines.next();
  return done ? undefined : (JSON.parse(value) as T);
};

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

const setup = (await request<Setup>())!;
configure("threads", setup.threads);
const trainStep = makeTraining(setup.model);
answer({ version: "" });
for (let next = await request<{ steps: number }>(); next; next = await request<{ steps: number }>()) {
  const wall: number[] = [];
  const cpu: number[] = [];
  let loss = Number.NaN;
  for (let i = 0; i < next.steps; i++) {
    const [wallStart, cpuStart] = [performance.now(), cpuMs()];
    loss = await trainStep().item();
    wall.push(performance.now() - wallStart);
    cpu.push(cpuMs() - cpuStart);
  }
  answer({ wall, cpu, loss, peakBytes: 1024 * process.resourceUsage().maxRSS });
}
