/**
 * Enqueues work for many seconds, reads what it makes, and then ends in the way that the first argument names. The time
 * from there to the end of the process is for the caller to measure.
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { matmul, randn, tensor } from "trainformer";

/** Some 10¹² multiplications. */
function enqueueChain() {
  const weight = randn([1024, 1024], { std: 1 / 32 });
  let x = randn([1024, 1024]);
  const kept = [];
  for (let i = 0; i < 1000; i++) {
    const next = matmul(x, weight);
    if (i % 100 === 0) kept.push(next.data());
    x.dispose();
    x = next;
  }
  return [...kept, x.toTypedArray()];
}

/** Of each worker, how it ends. Asked from the start: its last message and its end may come in one turn. */
const exits = new Map();
const startWorker = (ending) =>
  new Promise((resolve) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: ending });
    exits.set(worker, new Promise((ended) => worker.once("exit", ended)));
    worker.once("message", () => resolve(worker));
  });
const exitOf = (worker) => exits.get(worker);

const endings = {
  /** Nothing awaits the work: the process ends by itself. */
  return: async () => {
    const weight = randn([1024, 1024]);
    for (let i = 0; i < 1000; i++) matmul(weight, weight).dispose();
  },
  exit: async () => {
    enqueueChain();
    process.exit(7);
  },
  exitWhileReading: async () => {
    enqueueChain();
    setTimeout(() => process.exit(7), 200);
  },
  throw: async () => {
    enqueueChain();
    throw new Error("on purpose");
  },
  /** Workers are terminated in the middle of their work, one after the other and then several at once. */
  terminate: async () => {
    const codes = [];
    for (let i = 0; i < 4; i++) codes.push(await (await startWorker("wait")).terminate());
    const workers = await Promise.all(Array.from({ length: 3 }, () => startWorker("wait")));
    codes.push(...(await Promise.all(workers.map((worker) => worker.terminate()))));
    const { length } = await matmul(randn([64, 64]), tensor([[1], ...new Array(63).fill([0])])).data();
    console.log(JSON.stringify({ codes, length }));
  },
  exitOfWorker: async () => {
    const worker = await startWorker("exit");
    console.log(JSON.stringify({ codes: [await exitOf(worker)] }));
  },
  /** Views that live when their thread ends, some of them still to come. */
  viewsOfWorker: async () => {
    const codes = [];
    for (let i = 0; i < 5; i++) codes.push(await exitOf(await startWorker("views")));
    console.log(JSON.stringify({ codes }));
  },
  exitOfMainWithWorkers: async () => {
    await Promise.all([startWorker("wait"), startWorker("wait")]);
    process.exit(9);
  },
};

if (isMainThread) {
  await endings[process.argv[2]]();
} else if (workerData === "views") {
  globalThis.views = await Promise.all(Array.from({ length: 20 }, () => randn([1000]).data()));
  for (let i = 0; i < 20; i++) randn([1000]).data();
  parentPort.postMessage("ready");
  setImmediate(() => process.exit(0));
} else {
  globalThis.reads = enqueueChain();
  parentPort.postMessage("enqueued");
  if (workerData === "exit") setTimeout(() => process.exit(5), 50);
}
