import { type Device, defaultDevice, setDefaultDevice } from "../device.ts";
import { ArgumentError, show } from "../errors.ts";
import { heldScope } from "../memory.ts";
import { Tensor } from "../tensor.ts";
import type { Batch, PendingBatch } from "./data-source.ts";

/** A batch on the device of the model. */
export interface PreparedBatch {
  readonly batch: Batch;
  readonly examples: number;
  /** What its loss is the mean of: labels that count. Undefined where the batch does not say. */
  readonly items: number | undefined;
  /** Tokens that the model reads, padding included. */
  readonly inputTokens: number;
  /** Frees what was made for it. */
  end(): void;
}

/** How many items the loss of a batch is the mean of. */
export type CountItems = (batch: Batch) => number;

/**
 * The tensors of a batch. A `collate` that is not async makes them on the processor, whatever the default device, and
 * they live until `end`; what an async one makes is left to the garbage collector.
 */
export async function prepare(
  pending: PendingBatch,
  device: Device,
  countItems: CountItems | undefined,
): Promise<PreparedBatch> {
  const { result, end } = heldScope(() => onProcessor(() => pending.make()));
  try {
    const batch = checkBatch(result instanceof Promise ? await result : result);
    const items = countItems ? countItems(batch) : await itemsOf(batch);
    const inputTokens = sizeOf(inputOf(batch));
    const moved = heldScope(() => mapTensors(batch, (t) => (t.device === device ? t : t.to(device))));
    const endAll = () => {
      moved.end();
      end();
    };
    return { batch: moved.result, examples: pending.examples, items, inputTokens, end: endAll };
  } catch (error) {
    end();
    throw error;
  }
}

function onProcessor<T>(body: () => T): T {
  const before = defaultDevice();
  if (before === "cpu") return body();
  setDefaultDevice("cpu");
  try {
    return body();
  } finally {
    setDefaultDevice(before);
  }
}

function checkBatch(batch: unknown): Batch {
  if (typeof batch === "object" && batch !== null && !(batch instanceof Tensor)) return batch as Batch;
  throw new ArgumentError(
    `Trainer: collate must make an object of tensors such as { inputIds, labels }, or an array of the model's arguments; got ${show(batch)}`,
  );
}

/** The same with each tensor in it replaced; what else is in it stays as it is. */
function mapTensors<T>(value: T, to: (t: Tensor) => Tensor): T {
  if (value instanceof Tensor) return to(value) as T;
  if (Array.isArray(value)) return value.map((item) => mapTensors(item, to)) as T;
  if (typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapTensors(item, to)])) as T;
  }
  return value;
}

/** The field with what the model is to find. */
export function labelsOf(batch: Batch): Tensor | undefined {
  const fields = (Array.isArray(batch) ? batch[1] : batch) as Readonly<Record<string, unknown>> | undefined;
  const labels = fields?.labels ?? fields?.targets;
  return labels instanceof Tensor ? labels : undefined;
}

/** What the model reads: `inputIds`, or the first argument. */
export const inputOf = (batch: Batch): unknown =>
  Array.isArray(batch) ? batch[0] : (batch as Readonly<Record<string, unknown>>).inputIds;

const sizeOf = (input: unknown): number => (input instanceof Tensor ? input.size : 0);

/** The labels that are not -100. */
async function itemsOf(batch: Batch): Promise<number | undefined> {
  const labels = labelsOf(batch);
  if (labels === undefined) return undefined;
  if (labels.dtype !== "i32") return labels.shape[0];
  const { source } = labels.storage;
  const values = source && labels.isContiguous ? source : await labels.toTypedArray();
  const { offset, size } = source && labels.isContiguous ? labels : { offset: 0, size: values.length };
  let count = 0;
  for (let i = offset; i < offset + size; i++) if (values[i] !== -100) count++;
  return count;
}
