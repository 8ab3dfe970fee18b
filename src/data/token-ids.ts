import { checkInteger, TrainformerError } from "../errors.ts";

/**
 * Throws unless `ids` has a length and holds integers from 0 to `below` - 1.
 *
 * @param name of the ids in the message, like `packTokens: documents[3]`
 */
export function checkTokenIds(name: string, ids: ArrayLike<number>, below = 2 ** 31): void {
  const length = checkInteger(`${name}: length`, ids?.length, 0);
  for (let i = 0; i < length; i++) {
    const id = ids[i]!;
    if (!Number.isInteger(id) || id < 0 || id >= below) {
      throw new TrainformerError(
        "ERR_INDEX",
        `${name} must be integers from 0 to ${below - 1}; got ${String(id)} at index ${i}`,
      );
    }
  }
}
