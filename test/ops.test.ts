import { afterAll, beforeAll, describe, test } from "vitest";
import { configure } from "../src/native.ts";
import { allCases, checkBf16, checkThreads, checkValues, testedSizes, truthOf } from "./checks.ts";
import { missingIsas } from "./variants.ts";

if (missingIsas.length > 0)
  console.warn(`not tested, as this processor lacks them: ${missingIsas.join(", ")}`);

beforeAll(() => configure("poison", true));
afterAll(() => configure("poison", false));

const once = <T>(make: () => T): (() => T) => {
  let made: T | undefined;
  return () => (made ??= make());
};

for (const opCase of await allCases()) {
  describe(opCase.name, () => {
    for (const { label, sizes, differentiated, bf16 } of testedSizes(opCase)) {
      const truth = once(() => truthOf(opCase, sizes, "f32", differentiated));

      test(label, () => checkValues(opCase, sizes, truth()));

      test(`${label}: the same bits for 1, 2 and 3 threads`, () => checkThreads(opCase, sizes, truth()));

      if (!bf16) continue;
      test(`${label}: bf16 errs at most twice as much as rounding does`, () =>
        checkBf16(opCase, sizes, truth(), truthOf(opCase, sizes, "bf16", differentiated)));
    }
  });
}
