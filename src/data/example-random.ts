import { checkInteger } from "../errors.ts";
import { Random } from "../random.ts";

/** What random numbers are drawn for. Two purposes share none, so that a mask says nothing of the order. */
const purposes = [
  "order",
  "mask",
  "sentence pairs",
  "spans",
  "augmentation",
  "mixup",
  "tasks",
  "trials",
  "back-translation",
] as const;

/** Words of the sequence that each purpose has to itself. */
const wordsOfPurpose = 2 ** 40;

/**
 * The random numbers of one example in one epoch: a pure function of the arguments, so that examples can be made in any
 * order, again, or on several machines, and are the same.
 *
 * @param seed  integer from 0 to 2⁵³ - 1
 * @param epoch integer from 0 to 2²¹ - 1
 * @param index of the example, integer from 0 to 2³² - 1
 */
export function exampleRandom(
  purpose: (typeof purposes)[number],
  seed: number,
  epoch: number,
  index: number,
): Random {
  checkInteger("seed", seed, 0);
  checkInteger("epoch", epoch, 0, 2 ** 21 - 1);
  checkInteger("index", index, 0, 2 ** 32 - 1);
  return new Random(seed, purposes.indexOf(purpose) * wordsOfPurpose, epoch * 2 ** 32 + index);
}
