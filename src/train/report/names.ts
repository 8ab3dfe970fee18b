import { snakeCase } from "../../letter-case.ts";

/** The tag of a log entry in TensorBoard, as Hugging Face's: `evalLoss` → `eval/loss`, `gradNorm` → `train/grad_norm`. */
export function tagOf(name: string): string {
  const [, split, rest] = /^(eval|test)_(.+)$/.exec(snakeCase(name)) ?? [];
  return split === undefined ? `train/${snakeCase(name)}` : `${split}/${rest}`;
}

/** A log entry in words: `evalLoss` → `eval loss`, `learningRate` → `learning rate`. */
export const labelOf = (name: string): string => snakeCase(name).replaceAll("_", " ");
