/**
 * The checks of ops.test.ts without vitest, for a processor that is emulated and so too slow for float64 references:
 *
 *   node ops.js record FILE    on a fast one: writes inputs and what they should give
 *   node ops.js check FILE     compares the kernels of every instruction set with it; fails with what differs
 *
 * With --once nothing is computed again with other numbers of threads. On a device, the last word of the output then
 * identifies the bits of all results.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { deserialize, serialize } from "node:v8";
import { configure } from "../../src/native.ts";
import { type Inputs, Reference } from "../case.ts";
import {
  allCases,
  checkBf16,
  checkThreads,
  checkValues,
  digest,
  type Truth,
  testedSizes,
  truthOf,
} from "../checks.ts";
import { variants } from "../variants.ts";

interface Truths {
  f32: Truth;
  bf16?: Truth;
}

/** A serialized object is one of no class. */
const revivedAll = (all: Inputs<Reference>): Inputs<Reference> =>
  Object.fromEntries(Object.entries(all).map(([name, x]) => [name, new Reference(x.shape, x.data)]));
const revived = ({ inputs, dy, y, gradients }: Truth): Truth => ({
  inputs: revivedAll(inputs),
  dy,
  y: new Reference(y.shape, y.data),
  ...(gradients && { gradients: revivedAll(gradients) }),
});

const [task, file, once] = process.argv.slice(2);
const isOnce = once === "--once";
const cases = (await allCases()).flatMap((opCase) =>
  testedSizes(opCase).map((tested) => ({ ...tested, opCase, key: `${opCase.name} ${tested.label}` })),
);

if (task === "record") {
  const truths = cases.map(({ opCase, sizes, key, differentiated, bf16 }) => [
    key,
    {
      f32: truthOf(opCase, sizes, "f32", differentiated),
      ...(bf16 && { bf16: truthOf(opCase, sizes, "bf16", true) }),
    },
  ]);
  writeFileSync(file!, serialize(Object.fromEntries(truths)));
} else {
  configure("poison", true);
  const truths = deserialize(readFileSync(file!)) as Record<string, Truths>;
  let passed = 0;
  const failures: string[] = [];
  const attempt = (what: string, check: () => void) => {
    try {
      check();
      passed++;
    } catch (error) {
      failures.push(`${what}: ${(error as Error).message}`);
    }
  };
  for (const { opCase, sizes, key } of cases) {
    const start = performance.now();
    const { f32, bf16 } = truths[key]!;
    const exact = revived(f32);
    attempt(key, () => checkValues(opCase, sizes, exact));
    if (!isOnce) attempt(`${key}: threads`, () => checkThreads(opCase, sizes, exact));
    if (bf16) attempt(`${key}: bf16`, () => checkBf16(opCase, sizes, exact, revived(bf16)));
    if (process.env.TIMES) console.log((performance.now() - start).toFixed(0), key);
  }
  for (const failure of failures) console.error(failure);
  console.log(
    `${process.arch}, ${variants.map(({ name }) => name).join(" and ")}: ${passed} checks passed, ${failures.length} failed${isOnce ? ` ${digest()}` : ""}`,
  );
  process.exitCode = failures.length > 0 ? 1 : 0;
}
