/**
 * Calls the functions of the native addon with arguments right and wrong: `node --expose-gc fuzz.mjs SEED CALLS LOG`.
 * Every call must work or throw an Error with a known code. Prints as JSON how often each happened; LOG holds the
 * calls, in case the process does not survive one. With TRAINFORMER_CUDA, the file of a CUDA module, tensors and calls
 * are on either device.
 */
import { openSync, readFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";

const root = fileURLToPath(new URL("../..", import.meta.url));
const require = createRequire(import.meta.url);
const addon = process.env.TRAINFORMER_ADDON
  ? require(process.env.TRAINFORMER_ADDON)
  : require("node-gyp-build")(root);

const [seed, calls] = process.argv.slice(2, 4).map(Number);
const log = openSync(process.argv[4], "w");
const knownCodes = [
  "ERR_ARGUMENT",
  "ERR_SHAPE",
  "ERR_DTYPE",
  "ERR_DISPOSED",
  "ERR_INDEX",
  "ERR_OOM",
  "ERR_DEVICE",
  "ERR_NO_DEVICE",
  "ERR_CHECKPOINT",
];
const cudaModule = process.env.TRAINFORMER_CUDA;
const computing = cudaModule ? [0, addon.open(cudaModule, 0)] : [0];
/** The last one has no elements: few calls go there. */
const devices = [...computing, ...computing, ...computing, addon.open()];
const program = readFileSync(fileURLToPath(import.meta.url));
const source = openSync(fileURLToPath(import.meta.url), "r");
const counts = { calls: 0, worked: 0, read: 0 };
const reads = [];

// ---- chance

let state = seed;
function random() {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}
const below = (n) => Math.floor(random() * n);
const pick = (list) => list[below(list.length)];
const chance = (p) => random() < p;

// ---- wrong arguments

const oddNumbers = [
  ...[Number.NaN, Infinity, -Infinity, -0, -1, -2, 0.5, 1.5, -1e-300, 1e300, 3, 7, 1000],
  ...[2 ** 31, 2 ** 32, -(2 ** 31), 2 ** 40, 2 ** 41, 2 ** 53 - 1, 2 ** 53, 2 ** 63, 2 ** 64, -(2 ** 63)],
];

/** A view may repeat an element so many times (stride 0): allowed, but no test. */
const oddWords = oddNumbers.filter((n) => !(n > 2 ** 20 && n <= 2 ** 40));

function detached(Type = Float32Array) {
  const array = new Type(16);
  structuredClone(array.buffer, { transfer: [array.buffer] });
  return array;
}

const resizable = () => new Float32Array(new ArrayBuffer(64, { maxByteLength: 1024 }));

const oddValues = [
  ...[undefined, null, true, "", "isa", "2", Symbol("x"), 1n, {}, [], [1, 2], () => 1, new Date(0), /x/],
  ...[new Float64Array(4), new BigInt64Array(4), new Uint8Array(4), new DataView(new ArrayBuffer(8))],
  ...[new ArrayBuffer(8), Object.create(null), new Proxy({}, {}), new Map(), detached(), resizable()],
  { valueOf: () => 1, toString: () => "threads" },
];

const number = (right) => (chance(0.05) ? pick(oddNumbers) : right);

// ---- calls

function check(error) {
  if (!(error instanceof Error) || !knownCodes.includes(error.code)) throw error;
  counts[error.code] = (counts[error.code] ?? 0) + 1;
}

function attempt(what, args, body) {
  counts.calls++;
  writeSync(log, `${what} ${inspect(args, { breakLength: Infinity, maxArrayLength: 200 })}\n`);
  try {
    const result = body();
    counts.worked++;
    if (result instanceof Promise) reads.push(result.then(() => counts.read++, check));
    return result;
  } catch (error) {
    check(error);
  }
}

function call(name, ...args) {
  if (args.length > 0 && chance(0.04)) args[below(args.length)] = pick(oddValues);
  if (chance(0.02)) args.length = below(args.length + 1);
  return attempt(name, args, () => addon[name](...args));
}

/** Tensors as { handle, dtype, length, device }; some were freed since. */
const tensors = [];

function keep(dtype, length, device, handle) {
  if (typeof handle !== "number") return { handle: -2, dtype, length, device };
  tensors.push({ handle, dtype, length, device });
  if (tensors.length > 200) call("free", tensors.shift().handle);
  return tensors.at(-1);
}

const arrayTypes = [Float32Array, Uint16Array, Int32Array];

function arrayOf(dtype, length) {
  const Type = arrayTypes[dtype];
  const kind = below(12);
  if (kind === 0) return new Type(new SharedArrayBuffer(length * Type.BYTES_PER_ELEMENT));
  const offset = kind < 4 ? Type.BYTES_PER_ELEMENT * below(8) : 0;
  const array = new Type(new ArrayBuffer(length * 4 + 64), offset, length);
  return array.map(() => (dtype === 1 ? below(65536) : below(40) - 4));
}

const anyLength = () => pick([0, 1, 2, 3, 5, 8, 17, 64, 257, 4096]);

function tensorFor(dtype, length, device) {
  const fitting = tensors.filter((t) => t.dtype === dtype && t.length >= length && t.device === device);
  if (fitting.length > 0 && !chance(0.1)) return pick(fitting);
  return keep(dtype, length, device, call("alloc", dtype, length, device));
}

// ---- kernels

/** What native/kernels.def says: the sizes of each tensor by name. */
const shapes = new Map();
for (const [, kernel, parameters] of readFileSync(`${root}/native/kernels.def`, "utf8").matchAll(
  /^KERNEL\((\w+),([^;]*?)\)$/gm,
)) {
  for (const [, name, shape] of parameters.matchAll(/(\w+) SHAPE\(([^)]*)\)/g))
    shapes.set(`${kernel} ${name}`, shape.split(/, */));
}

function dtypeOf(type, real) {
  if (/Ids(Opt|Strided)?$/.test(type)) return 2;
  return /^Acc|32(Opt)?$/.test(type) ? 0 : real;
}

/** Elements from the first to the last. */
const span = (shape, strides) =>
  shape.includes(0) ? 0 : shape.reduce((sum, size, axis) => sum + (size - 1) * strides[axis], 1);

function kernelWords(kernel, real) {
  const sizes = new Map();
  let work = 1;
  const sizeNamed = (name) => {
    if (!sizes.has(name)) {
      const size = /^\d/.test(name) ? Number(name) : pick([0, 1, 1, 2, 3, 4, 8, 17, 33, 70, 130, 600]);
      sizes.set(name, work * size > 2 ** 17 ? 2 : size);
      work *= sizes.get(name) || 1;
    }
    return chance(0.01) ? pick([0, 1, 2, 5]) : sizes.get(name);
  };
  const result = [];
  const device = pick(devices);
  for (const { name, type } of kernel.parameters) {
    const shape = shapes.get(`${kernel.name} ${name}`)?.map(sizeNamed);
    if (shape === undefined) {
      const value =
        type === "Index" ? pick([0, 1, 2, -1, -100, below(1000)]) : pick([0, 1, 0.1, -1, 1e-5, 1e30]);
      result.push(value);
      continue;
    }
    if (type.endsWith("Opt") && chance(0.4)) {
      result.push(-1);
      continue;
    }
    const dense = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
    let strides = [...dense];
    if (chance(0.1)) strides[below(strides.length)] = pick([0, 1, 2, 5, 40]);
    if (type.endsWith("Strided") && chance(0.3)) strides.reverse();
    if (span(shape, strides) > 2 ** 18) strides = dense;
    const offset = chance(0.2) ? below(5) : 0;
    const dtype = chance(0.01) ? below(3) : dtypeOf(type, real);
    const place = chance(0.01) ? pick(devices) : device;
    result.push(tensorFor(dtype, offset + span(shape, strides), place).handle);
    result.push(offset, ...shape, ...strides);
  }
  if (chance(0.1)) result[below(result.length)] = pick(oddWords);
  if (chance(0.02)) result.push(0);
  if (chance(0.02)) result.pop();
  return result;
}

const { words, kernels, isas } = addon.info();

/** Those of the benchmarks compute for as long as they are told. */
const candidates = kernels.filter(({ name }) => !name.startsWith("peak_"));

function callKernel() {
  const kernel = pick(candidates);
  const id = kernels.indexOf(kernel);
  const real = below(2);
  const args = kernelWords(kernel, real);
  words.set(args);
  attempt(`call ${kernel.name}`, [id, real, ...args], () =>
    addon.call(number(id), number(real), number(args.length)),
  );
}

const settings = {
  isa: () => pick([...isas.map((isa) => isa.name), "riscv", 1]),
  threads: () => number(1 + below(4)),
  poison: () => chance(0.5),
  synchronous: () => chance(0.5),
  externalBuffers: () => chance(0.5),
  externalBytes: () => number(below(1e6) - 5e5),
  nonsense: () => 1,
};

const actions = {
  call: callKernel,
  alloc: () => {
    const dtype = below(3);
    const length = anyLength();
    const asked = number(length);
    const device = pick(devices);
    const isPossible = asked > 2 ** 20 && asked < 2 ** 40; // and could fill the machine's memory
    keep(dtype, length, device, call("alloc", number(dtype), isPossible ? 2 ** 40 : asked, number(device)));
  },
  adopt: () => {
    const dtype = below(3);
    const array = arrayOf(dtype, anyLength());
    keep(dtype, array.length, 0, call("adopt", array));
  },
  free: () => tensors.length > 0 && call("free", number(pick(tensors).handle)),
  write: () => {
    if (tensors.length === 0) return;
    const { handle, dtype, length } = pick(tensors);
    const array = arrayOf(chance(0.05) ? below(3) : dtype, Math.min(length, anyLength()));
    call("write", number(handle), number(below(length - array.length + 1)), array);
  },
  read: () => {
    if (tensors.length === 0) return;
    const { handle, length } = pick(tensors);
    const from = below(length);
    call("read", number(handle), number(from), number(length - from), number(below(3)));
  },
  copy: () => {
    if (tensors.length === 0) return;
    const [from, to] = [pick(tensors), pick(tensors)];
    const length = Math.min(from.length, to.length, anyLength());
    call("copy", number(from.handle), 0, number(to.handle), number(to.length - length), number(length));
  },
  step: () => call("step", number(pick(devices)), chance(0.5)),
  open: () => call("open", pick([cudaModule ?? "nowhere.so", "package.json", ""]), number(below(2))),
  device: () =>
    call("configure", pick(["strict", "graphs", "nonsense"]), number(below(2)), number(pick(devices))),
  configure: () => {
    const name = pick(Object.keys(settings));
    call("configure", name, settings[name]());
  },
  info: () => call("info"),
  record: () => {
    const recorded = call("record", chance(0.5));
    if (typeof recorded !== "object") return;
    const { calls: fields, times } = recorded;
    let count = 0;
    for (let at = 0; at < fields.length; at += 8 + fields[at + 7]) count++;
    if (2 * count !== times.length) throw new Error(`${count} calls, ${times.length} times`);
  },
  resetPeak: () => call("resetPeak", number(pick(devices))),
  map: () => {
    const from = below(program.length);
    const bytes = call(
      "map",
      number(pick([source, source, log, 0, 99])),
      number(from),
      number(below(2 * program.length)),
    );
    if (bytes) new Uint8Array(bytes).fill(1); // the copy of this process, all of it
  },
};
const weights = {
  ...{ call: 60, alloc: 6, adopt: 6, free: 6, write: 8, read: 10, configure: 3, info: 1 },
  ...{ copy: 3, step: 1, open: 1, device: 1, map: 1, record: 1, resetPeak: 1 },
};
const wheel = Object.entries(weights).flatMap(([name, weight]) => new Array(weight).fill(name));

while (counts.calls < calls) {
  for (let i = 0; i < 200; i++) actions[pick(wheel)]();
  await Promise.all(reads.splice(0));
  globalThis.gc?.();
  await new Promise(setImmediate);
}
console.log(JSON.stringify(counts));
