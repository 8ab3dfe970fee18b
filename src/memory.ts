import { type Device, defaultDevice, deviceNumber, openedDevices } from "./device.ts";
import { bytesPerElement, type Dtype, type DtypeArray } from "./dtype.ts";
import { ArgumentError, TrainformerError } from "./errors.ts";
import { adopt, allocate, configure, free, info, resetPeak } from "./native.ts";
import { formatTable, showBytes } from "./print.ts";
import { type Shape, showShape } from "./shape.ts";

/**
 * The memory behind one or more tensors.
 *
 * It belongs to the scope in which it was made and is freed when that scope ends. Outside of any scope it lives until
 * JavaScript's garbage collector finds it unreachable, or until `dispose()`.
 */
export class Storage {
  readonly handle: number;
  readonly dtype: Dtype;
  readonly length: number;
  readonly device: Device;
  /** The caller's own array, for memory that was adopted and not allocated. */
  readonly source: DtypeArray | undefined;
  /** @internal The scope that will free it. */
  owner: Scope | undefined;
  /** @internal How many pending gradients of a backward pass live in it. */
  gradientUses = 0;
  /** @internal Of the first tensor that was made on it. */
  shape: Shape | undefined;
  /** @internal For the list of what is alive, while no scope has it. */
  reference: WeakRef<Storage> | undefined;
  /** @internal How many tensors were ever made on it. */
  tensors = 0;
  /** @internal Grows with every write to it. */
  version = 0;
  /** @internal Whether JavaScript holds an array on this memory, and can write to it unseen. */
  isExposed: boolean;
  private freed = false;

  private constructor(handle: number, dtype: Dtype, length: number, device: Device, source?: DtypeArray) {
    this.handle = handle;
    this.dtype = dtype;
    this.length = length;
    this.device = device;
    this.source = source;
    this.isExposed = source !== undefined;
    if (current) current.own(this);
    else collectable(this);
  }

  static allocate(dtype: Dtype, length: number, device: Device): Storage {
    return new Storage(allocate(dtype, length, deviceNumber(device)), dtype, length, device);
  }

  /** Uses the memory of `data` itself; what is written to one is seen in the other. */
  static adopt(data: DtypeArray, dtype: Dtype): Storage {
    return new Storage(adopt(data), dtype, data.length, "cpu", data);
  }

  get bytes(): number {
    return this.length * bytesPerElement[this.dtype];
  }

  get isFreed(): boolean {
    return this.freed;
  }

  /** Throws if the memory is gone: freed, or an adopted array whose buffer was transferred to another owner. */
  check(): void {
    if (this.freed) {
      throw new TrainformerError(
        "ERR_DISPOSED",
        "this tensor was freed: its scope or step ended, or dispose() was called; return it from the scope to keep it",
      );
    }
    if (this.source !== undefined && this.source.length !== this.length) {
      throw new TrainformerError(
        "ERR_DISPOSED",
        "the array that this tensor adopted was transferred or resized",
      );
    }
  }

  free(): void {
    if (this.freed) return;
    this.freed = true;
    if (this.owner) this.owner.storages.delete(this);
    else uncollectable(this);
    free(this.handle);
  }

  /** @internal Hands the memory to another scope, or to the garbage collector. */
  moveTo(scope: Scope | undefined): void {
    if (this.freed || this.owner === scope) return;
    if (this.owner) this.owner.storages.delete(this);
    else uncollectable(this);
    if (scope) scope.own(this);
    else {
      this.owner = undefined;
      collectable(this);
    }
  }
}

/** The garbage collector does not see native memory: it is told how much of it hangs on its objects. */
const finalized = new FinalizationRegistry<{
  handle: number;
  bytes: number;
  reference: WeakRef<Storage>;
}>(({ handle, bytes, reference }) => {
  unowned.delete(reference);
  configure("externalBytes", -bytes);
  free(handle);
});

/** What no scope has. */
const unowned = new Set<WeakRef<Storage>>();

/** Whether there is memory behind it of which the garbage collector should know. */
const isSeen = ({ source, device }: Storage): boolean => source === undefined && device !== "meta";

function collectable(storage: Storage): void {
  const bytes = isSeen(storage) ? storage.bytes : 0;
  const reference = new WeakRef(storage);
  storage.reference = reference;
  unowned.add(reference);
  finalized.register(storage, { handle: storage.handle, bytes, reference }, storage);
  configure("externalBytes", bytes);
}

function uncollectable(storage: Storage): void {
  if (storage.reference) unowned.delete(storage.reference);
  storage.reference = undefined;
  if (finalized.unregister(storage)) configure("externalBytes", isSeen(storage) ? -storage.bytes : 0);
}

class Scope {
  readonly storages = new Set<Storage>();
  readonly parent: Scope | undefined;

  constructor(parent: Scope | undefined) {
    this.parent = parent;
  }

  own(storage: Storage): void {
    storage.owner = this;
    this.storages.add(storage);
  }

  end(kept: ReadonlySet<Storage>): void {
    for (const storage of this.storages) {
      if (kept.has(storage)) storage.moveTo(this.parent);
      else storage.free();
    }
  }
}

let current: Scope | undefined;

/** Something that holds memory, such as a tensor. */
interface Holder {
  readonly storage: Storage;
}
const isHolder = (value: object): value is Holder => (value as Partial<Holder>).storage instanceof Storage;

/** Every storage reachable from `value` through arrays, plain objects and maps. */
function storagesIn(value: unknown, found = new Set<Storage>()): Set<Storage> {
  if (typeof value !== "object" || value === null) return found;
  if (isHolder(value)) found.add(value.storage);
  else if (Array.isArray(value) || value instanceof Set) for (const item of value) storagesIn(item, found);
  else if (value instanceof Map) for (const item of value.values()) storagesIn(item, found);
  else if (Object.getPrototypeOf(value) === Object.prototype)
    for (const item of Object.values(value)) storagesIn(item, found);
  return found;
}

/**
 * Runs `body` and frees every tensor that it made, except those it returns (alone, or in arrays, objects, maps).
 * Parameters, gradients of parameters and optimizer state are kept as well. Scopes nest.
 *
 * @throws ERR_ARGUMENT if `body` is asynchronous: what runs between its awaits could not be told apart
 */
export function scope<T>(body: () => T): T {
  const inner = new Scope(current);
  current = inner;
  let kept: ReadonlySet<Storage> = new Set();
  try {
    const result = body();
    if (result instanceof Promise) {
      result.catch(() => {});
      throw new ArgumentError("scope: the function must not be async; await its results outside of it");
    }
    kept = storagesIn(result);
    return result;
  } finally {
    current = inner.parent;
    inner.end(kept);
  }
}

/** @internal Runs `body` and gives its result with what frees, later and once, everything that it made. */
export function heldScope<T>(body: () => T): { result: T; end: () => void } {
  const inner = new Scope(undefined);
  const outer = current;
  current = inner;
  try {
    return { result: body(), end: () => inner.end(new Set()) };
  } catch (error) {
    inner.end(new Set());
    throw error;
  } finally {
    current = outer;
  }
}

/** Runs `body` so that what it makes belongs to no scope: parameters, optimizer state. */
export function unscoped<T>(body: () => T): T {
  const outer = current;
  current = undefined;
  try {
    return body();
  } finally {
    current = outer;
  }
}

/** @internal Runs `body` outside of any scope, then frees all that it made on a device. */
export function freeingAll<T>(device: Device, body: () => T): T {
  const before = new Set(unowned);
  try {
    return unscoped(body);
  } finally {
    for (const reference of unowned) {
      const storage = before.has(reference) ? undefined : reference.deref();
      if (storage?.device === device) storage.free();
    }
  }
}

/** @internal Runs `body` so that what it makes belongs to the owner of `storage`. */
export function inScopeOf<T>(storage: Storage, body: () => T): T {
  const outer = current;
  current = storage.owner;
  try {
    return body();
  } finally {
    current = outer;
  }
}

export interface MemoryUsage {
  /** Tensors alive. */
  tensors: number;
  /** Bytes held by tensors. */
  liveBytes: number;
  /** The most bytes held by tensors at once, ever or since `resetPeakMemory()`. */
  peakBytes: number;
  /** Bytes obtained from the system, in use or pooled for reuse. */
  reservedBytes: number;
}

/**
 * What the tensors of this thread hold in the memory of a device, by default `defaultDevice()`. Arrays that were adopted
 * are not counted; `tensors` counts those of all devices.
 */
export function memory(device: Device = defaultDevice()): MemoryUsage {
  const number = deviceNumber(device);
  const { tensors, devices } = info();
  return { tensors, ...devices[number]!.memory };
}

/**
 * Makes what tensors hold in the memory of a device now its peak, so that `memory(device).peakBytes` tells of what
 * follows.
 *
 * @throws ERR_NO_DEVICE
 */
export function resetPeakMemory(device: Device = defaultDevice()): void {
  resetPeak(deviceNumber(device));
}

/** A table of the memory of each device in use: what tensors hold, the most they held, and what waits to be used again. */
export function memorySummary(): string {
  const rows = [...openedDevices().keys()].map((device) => {
    const { liveBytes, peakBytes, reservedBytes } = memory(device);
    return [device, showBytes(liveBytes), showBytes(peakBytes), showBytes(reservedBytes - liveBytes)];
  });
  return `${formatTable(["device", "live", "peak", "pooled"], rows)}\n${info().tensors} tensors`;
}

/** Tensors of one kind. */
export interface LiveTensors {
  /** As it was made; tensors that share its memory may have others. */
  readonly shape: Shape;
  readonly dtype: Dtype;
  readonly device: Device;
  readonly count: number;
  /** Of all of them. */
  readonly bytes: number;
}

export interface LiveTensorReport extends ReadonlyArray<LiveTensors> {
  /** As a table. */
  toString(): string;
}

function* liveStorages(): Generator<Storage> {
  for (let scope = current; scope !== undefined; scope = scope.parent) yield* scope.storages;
  for (const reference of unowned) {
    const storage = reference.deref();
    if (storage !== undefined) yield storage;
  }
}

/**
 * What is alive, by shape and dtype, the most bytes first: to find what is kept by mistake, compare two of them.
 *
 * It sees the tensors of the scopes around the call and those that no scope has: parameters, optimizer state, what was
 * returned. Tensors that share memory count once; adopted arrays count too.
 */
export function liveTensors(): LiveTensorReport {
  const kinds = new Map<string, { -readonly [K in keyof LiveTensors]: LiveTensors[K] }>();
  for (const { shape = [], dtype, device, bytes } of liveStorages()) {
    const key = `${showShape(shape)} ${dtype} ${device}`;
    const kind = kinds.get(key);
    if (kind === undefined) kinds.set(key, { shape, dtype, device, count: 1, bytes });
    else {
      kind.count++;
      kind.bytes += bytes;
    }
  }
  const found: LiveTensors[] = [...kinds.values()].sort((a, b) => b.bytes - a.bytes);
  const table = () =>
    formatTable(
      ["shape", "dtype", "device", "count", "bytes"],
      found.map(({ shape, dtype, device, count, bytes }) => [
        showShape(shape),
        dtype,
        device,
        String(count),
        showBytes(bytes),
      ]),
      3,
    );
  return Object.defineProperty(found, "toString", { value: table });
}
