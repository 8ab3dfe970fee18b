/** Our names as Hugging Face's files and TensorBoard have them: `evalSamplesPerSecond` → `eval_samples_per_second`. */
export const snakeCase = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Theirs, and those of the command line, as ours: `eval_loss` → `evalLoss`, `min-lr` → `minLr`. */
export const camelCase = (name: string): string =>
  name.replace(/[_-]([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
