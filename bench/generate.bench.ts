/**
 * Times a token of GPT-2 124M, generated greedily behind texts of several lengths, with what JavaScript does for it.
 *
 *   npm run bench:generate [-- --threads N ...] [--budget MS] [--discard] [--json]
 *
 *   --threads   default: 1, and one a core
 *   --budget    milliseconds for one measurement, and at least three turns; default 3000
 *   --discard   leaves results.md as it is
 *   --json      one line of JSON at the end of the output
 *
 * A token reads all weights once, and the keys and values of the tokens before. GB/s are those of both; the ceiling is
 * reading 256 MiB, in the same turns. "growth" is the time over that behind the shortest text, "bytes" the same of what
 * is read: time that grows as the cache has them equal.
 */
import { parseArgs } from "node:util";
import "../src/functional.ts";
import { noGrad } from "../src/autograd.ts";
import { bytesPerElement } from "../src/dtype.ts";
import { scope } from "../src/memory.ts";
import { GPT } from "../src/models/gpt.ts";
import { configure, info } from "../src/native.ts";
import { KeyValueCache } from "../src/nn/cache.ts";
import { tensor } from "../src/tensor.ts";
import { ceilingOf } from "./ceilings.ts";
import { type Elsewhere, timesOf } from "./measure.ts";
import { defaultThreads } from "./peer.ts";
import { publish } from "./record.ts";
import { type Cell, percent } from "./table.ts";

const { values } = parseArgs({
  options: {
    threads: { type: "string", multiple: true, default: defaultThreads() },
    budget: { type: "string", default: "3000" },
    discard: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const ceilingBytes = 2 ** 28;
const lengths = [16, 256, 1000];
const size = { vocabSize: 50257, contextLength: 1024, numLayers: 12, numHeads: 12, hiddenSize: 768 };

/** Writes one token behind `length` others, again and again. */
async function tokenAfter(model: GPT, length: number): Promise<Elsewhere> {
  const cache = new KeyValueCache({ numLayers: size.numLayers, batchSize: 1, capacity: size.contextLength });
  const next = async (tokens: number[]): Promise<number> => {
    const logits = scope(() => {
      const ids = tensor(Int32Array.from(tokens), [1, tokens.length]);
      return noGrad(() => model(ids, { cache, lastOnly: true }).logits);
    });
    const scores = await logits.toTypedArray();
    logits.dispose();
    let best = 0;
    for (let i = 1; i < scores.length; i++) if (scores[i]! > scores[best]!) best = i;
    return best;
  };
  let token = await next(Array.from({ length }, (_, i) => (7919 * i) % size.vocabSize));
  return {
    async turn(repetitions) {
      const start = performance.now();
      for (let i = 0; i < repetitions; i++) {
        cache.truncate(length);
        token = await next([token]);
      }
      return performance.now() - start;
    },
  };
}

const rows: Cell[][] = [];
const results: object[] = [];
for (const threads of new Set(values.threads.map(Number))) {
  configure("threads", threads);
  for (const dtype of ["f32", "bf16"] as const) {
    const model = new GPT({ ...size, dtype, seed: 1 }).eval();
    const element = bytesPerElement[dtype];
    // The table of embeddings is read as the output matrix; of the positions a token reads one.
    const weights = (model.parameterCount - size.contextLength * size.hiddenSize) * element;
    const bytesOf = (length: number) =>
      weights + 2 * size.numLayers * (length + 1) * size.hiddenSize * element;
    const jobs = [];
    for (const length of lengths) jobs.push(await tokenAfter(model, length));
    const ceiling = ceilingOf({ read: ceilingBytes }, info().isa);
    const ms = await timesOf([...jobs, ...ceiling.contestants], Number(values.budget), { turnMs: 100 });
    const rate = ceilingBytes / ceiling.leastMs(ms.slice(jobs.length)) / 1e6;
    for (const [i, length] of lengths.entries()) {
      const reached = bytesOf(length) / ms[i]! / 1e6;
      const growth = [ms[i]! / ms[0]!, bytesOf(length) / bytesOf(lengths[0]!)];
      rows.push([
        String(threads),
        dtype,
        String(length),
        ms[i]!,
        reached,
        rate,
        percent(reached / rate),
        ...growth,
      ]);
      results.push({ threads, dtype, length, ms: ms[i], share: reached / rate });
    }
  }
}
publish(
  {
    program: "generate",
    notes: ["GPT-2 124M, one row, random weights"],
    head: [
      "threads",
      "dtype",
      "tokens before",
      "ms",
      "GB/s",
      "read ceiling",
      "of ceiling",
      "growth",
      "bytes",
    ],
    rows,
    left: 3,
  },
  values.discard,
);
if (values.json) console.log(JSON.stringify({ isa: info().isa, results }));
