import { mkdtemp, readFile, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { readSafetensors, type StoredTensor } from "../src/io/safetensors.ts";
import { type Layout, partsOf } from "../src/models/layout.ts";
import type { PreTrainedModel } from "../src/models/pretrained.ts";
import type { AnyModule } from "../src/nn/module.ts";
import { type Tensor, tensor } from "../src/tensor.ts";

/** A model that a script of test/golden/ has saved with Hugging Face's classes, and what those compute. */
export interface Golden {
  folder: string;
  /** What is expected under this name, as a tensor or as it is stored. */
  tensor(name: string): Tensor;
  stored(name: string): StoredTensor;
  has(name: string): boolean;
  names: string[];
}

export async function readGolden(path: string): Promise<Golden> {
  const folder = fileURLToPath(new URL(`golden/${path}`, import.meta.url));
  const { tensors } = await readSafetensors(`${folder}/expected.safetensors`);
  const stored = (name: string) => {
    const t = tensors.get(name);
    if (t === undefined) throw new Error(`${path} expects no ${name}`);
    return t;
  };
  return {
    folder,
    stored,
    has: (name) => tensors.has(name),
    names: [...tensors.keys()],
    tensor: (name) => tensor(stored(name).data, stored(name).shape),
  };
}

/** The largest difference, relative to the largest expected value. */
export function relativeError(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [error, scale] = [0, 1e-30];
  for (let i = 0; i < expected.length; i++) {
    error = Math.max(error, Math.abs(got[i]! - expected[i]!));
    scale = Math.max(scale, Math.abs(expected[i]!));
  }
  return got.length === expected.length ? error / scale : Number.NaN;
}

export async function expectClose(
  got: Tensor,
  golden: Golden,
  name: string,
  tolerance: number,
): Promise<void> {
  const expected = golden.stored(name);
  expect(got.shape, name).toEqual(expected.shape);
  expect(relativeError(await got.toTypedArray(), expected.data), name).toBeLessThan(tolerance);
}

/**
 * Compares every gradient with the one of the same name. Errors are relative to the largest value of the whole
 * parameter, and not below a hundredth of the largest of all: some are zero but for rounding, such as that of the bias
 * of keys, since all scores of a query move together.
 *
 * @param uncompared a row of a parameter that is left out
 */
export async function expectGradients(
  model: AnyModule,
  layout: Layout,
  golden: Golden,
  tolerance: number,
  uncompared?: { name: string; row: number },
): Promise<void> {
  const largestOf = (names: readonly string[]) =>
    Math.max(0, ...names.flatMap((name) => Array.from(golden.stored(name).data, Math.abs)));
  const floor = 0.01 * largestOf(golden.names.filter((name) => name.startsWith("gradient.")));
  for (const [name, parameter] of model.namedParameters()) {
    const parts = partsOf(name, parameter, layout.names).filter((part) =>
      golden.has(`gradient.${part.name}`),
    );
    const largest = Math.max(floor, largestOf(parts.map((part) => `gradient.${part.name}`)));
    for (const { name: theirs, start, end, transposed } of parts) {
      const whole = parameter.grad?.slice(0, start, end);
      expect(whole, theirs).toBeDefined();
      const expected = golden.stored(`gradient.${theirs}`);
      const got = transposed ? whole!.T : whole!;
      expect(got.shape, theirs).toEqual(expected.shape);
      const values = await got.toTypedArray();
      const columns = expected.shape.at(-1)!;
      const skipped = uncompared?.name === name ? uncompared.row : -1;
      const difference = (value: number, i: number) =>
        Math.floor(i / columns) === skipped ? 0 : Math.abs(values[i]! - value);
      const error = Math.max(...expected.data.map(difference));
      expect(error / largest, theirs).toBeLessThan(tolerance);
    }
  }
}

/**
 * Saves a model that was read from a folder of Hugging Face, and compares: the same tensors, bit for bit, and no key of
 * `config.json` with another value. What only we write is returned.
 *
 * @param synonyms by which Hugging Face calls what we call otherwise
 */
export async function expectSavedAs(
  model: PreTrainedModel<never[], unknown>,
  { folder: theirs }: Golden,
  synonyms: Readonly<Record<string, string>> = {},
): Promise<Record<string, unknown>> {
  const ours = await mkdtemp(path.join(os.tmpdir(), "saved-"));
  try {
    await model.savePretrained(ours);
    const [written, expected] = await Promise.all(
      [ours, theirs].map(async (folder) => ({
        tensors: (await readSafetensors(path.join(folder, "model.safetensors"))).tensors,
        config: JSON.parse(await readFile(path.join(folder, "config.json"), "utf8")),
      })),
    );
    expect([...written!.tensors.keys()].sort()).toEqual([...expected!.tensors.keys()].sort());
    for (const [key, { shape, data }] of expected!.tensors) {
      expect(written!.tensors.get(key)!.shape, key).toEqual(shape);
      expect(written!.tensors.get(key)!.data, key).toEqual(data);
    }
    const own: Record<string, unknown> = {};
    for (const [key, value] of Object.entries(written!.config)) {
      const wanted = expected!.config[key];
      if (key in expected!.config) expect(value, key).toEqual(synonyms[wanted] ?? wanted);
      else own[key] = value;
    }
    return own;
  } finally {
    await rm(ours, { recursive: true });
  }
}
