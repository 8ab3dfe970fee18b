/**
 * Reads files that are broken on purpose: `node malformed-files.mjs SEED FOLDER`, FOLDER being new and empty.
 *
 * Each must be refused with the code of a checkpoint, or be read with the shapes that it says. Prints as JSON how many of
 * each kind were refused and read, the slowest one in ms, what went wrong, and by how many MiB the process grew. After one
 * good file of each kind, address space is limited to 512 MiB more, so that an allocation by a number in a file fails.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import {
  fromGGUF,
  fromGGUFTokenizer,
  GPT,
  Llama,
  openCheckpoint,
  openGGUF,
  readSafetensors,
  TrainformerError,
} from "trainformer";

const [seed, folder] = [Number(process.argv[2]), process.argv[3]];
const golden = (name) => fileURLToPath(new URL(`../golden/${name}`, import.meta.url));
process.removeAllListeners("warning");
process.on("warning", () => {}); // of tensors that have no place in a model

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

// ---- mutations

const sizes = [
  0n,
  1n,
  2n,
  7n,
  255n,
  2n ** 16n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n,
  2n ** 40n,
  2n ** 53n - 1n,
].concat([2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n]);
const oddNumbers = [
  "0",
  "-1",
  "1.5",
  "1e3",
  "1e308",
  "1e999",
  "NaN",
  "-0",
  "2147483647",
  "4294967296",
].concat(["9007199254740991", "9007199254740992", "18446744073709551615"]);
const oddValues = [
  ...oddNumbers,
  "null",
  "true",
  '""',
  '"x"',
  "[]",
  "{}",
  "[1,2]",
  '{"a":1}',
  `"${"x".repeat(5000)}"`,
].concat([`${"[".repeat(3000)}${"]".repeat(3000)}`, "[".repeat(3000), '"\\ud800"', '"__proto__"', "\u0000"]);

/** Bytes changed, cut off or repeated, of the first `most`. */
function mutateBytes(bytes, most = bytes.length) {
  let out = Buffer.from(bytes);
  for (let n = below(4); n >= 0 && out.length > 0; n--) {
    const at = below(Math.min(most, out.length));
    const kind = below(6);
    if (kind === 0) out[at] = below(256);
    else if (kind === 1) out[at] ^= 1 << below(8);
    else if (kind === 2) out = out.subarray(0, at);
    else if (kind === 3 && at + 8 <= out.length) out.writeBigUInt64LE(pick(sizes), at);
    else if (kind === 4 && at + 4 <= out.length) out.writeUInt32LE(Number(pick(sizes) & 0xffffffffn), at);
    else out = Buffer.concat([out.subarray(0, at), out.subarray(below(at + 1))]);
  }
  return out;
}

/** A value of this JSON text in place of another one, or characters changed. */
function mutateJson(text) {
  if (below(4) === 0) return mutateBytes(Buffer.from(text)).toString("latin1");
  const values = [
    ...text.matchAll(/(?<=[:[,]\s*)(-?\d[\d.e+-]*|"[^"]*"|true|false|null|\[[^[\]]*\]|\{[^{}]*\})/g),
  ];
  const { index, 0: value } = pick(values);
  const other = below(4) === 0 ? pick(values)[0] : below(5) === 0 ? `${value},${value}` : pick(oddValues);
  return text.slice(0, index) + other + text.slice(index + value.length);
}

function withHeader(json, data, length = BigInt(Buffer.byteLength(json))) {
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length);
  return Buffer.concat([prefix, Buffer.from(json), data]);
}

// ---- what is read

const product = (shape) => shape.reduce((a, b) => a * b, 1);

function checkTensor({ dtype, shape, data }, name) {
  if (!["f32", "bf16", "i32"].includes(dtype)) throw new Error(`${name} is ${dtype}`);
  if (data.length !== product(shape)) throw new Error(`${name} ${shape} has ${data.length} elements`);
}

/** Every error that reading a tensor gives must be coded as well, but a file is good although one tensor is not. */
function checkTensors(names, get, shapeOf) {
  for (const name of names) {
    try {
      const tensor = get(name);
      const expected = shapeOf?.(name);
      if (expected && `${tensor.shape}` !== `${expected}`)
        throw new Error(`${name} is ${tensor.shape}, not ${expected}`);
      checkTensor(tensor, name);
    } catch (error) {
      if (!isCoded(error)) throw error;
    }
  }
}

const isCoded = (error) => error instanceof TrainformerError && error.code === "ERR_CHECKPOINT";

async function readSafe(file) {
  const options = { map: below(4) !== 0 };
  const { tensors } = await readSafetensors(file, options);
  const bytes = readFileSync(file);
  const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE())));
  checkTensors(
    tensors.keys(),
    (name) => tensors.get(name),
    (name) => header[name].shape,
  );
}

async function readGGUF(file) {
  const gguf = await openGGUF(file, { map: below(4) !== 0 });
  checkTensors(gguf.names(), (name) => gguf.get(name));
  if (!gguf.metadata.has("general.architecture") || file.includes("types")) return;
  for (const use of [() => fromGGUFTokenizer(gguf), () => fromGGUF(gguf)]) {
    try {
      const { checkpoint } = use();
      if (checkpoint) checkTensors(checkpoint.names(), (name) => checkpoint.get(name));
    } catch (error) {
      if (!isCoded(error)) throw error;
    }
  }
}

async function readCheckpoint(location) {
  const checkpoint = await openCheckpoint(location);
  checkTensors(checkpoint.names(), (name) => checkpoint.get(name));
}

// ---- files of each kind

const safetensors = readFileSync(golden("gguf-llama.safetensors"));
const headerLength = Number(safetensors.readBigUInt64LE());
const header = safetensors
  .subarray(8, 8 + headerLength)
  .toString()
  .trimEnd();
const data = safetensors.subarray(8 + headerLength);
const { config: llamaConfig } = JSON.parse(header).__metadata__;
const small = (dtype, shape, begin, end) => ({ dtype, shape, data_offsets: [begin, end] });

const named = [
  withHeader("{}", Buffer.alloc(0), 2n ** 31n),
  withHeader("{}", Buffer.alloc(0), 2n ** 63n),
  withHeader("{}", Buffer.alloc(0), 99_999_999n),
  Buffer.alloc(0),
  Buffer.alloc(8),
  withHeader(`{"a":${"[".repeat(1 << 20)}`, Buffer.alloc(0)),
  withHeader(`{"a":"${"\\u0041".repeat(1 << 17)}`, Buffer.alloc(0)),
  withHeader(JSON.stringify({ a: small("F32", [2 ** 53 - 1], 0, 2 ** 53 - 1) }), Buffer.alloc(8)),
  withHeader(JSON.stringify({ a: small("F32", [2 ** 27, 2 ** 27], 0, 8) }), Buffer.alloc(8)),
  withHeader(JSON.stringify({ a: small("F4", [2 ** 53 - 1], 0, 8) }), Buffer.alloc(8)),
  withHeader(JSON.stringify({ a: small("F32", [2], 0, 8), b: small("F32", [2], 4, 12) }), Buffer.alloc(12)),
  withHeader(JSON.stringify({ a: small("F32", [2], 0, 8), b: small("F32", [2], 0, 8) }), Buffer.alloc(8)),
  withHeader(JSON.stringify({ a: small("F128", [2], 0, 8) }), Buffer.alloc(8)),
  withHeader('{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}', Buffer.alloc(8)),
];

const kinds = {
  safetensors: {
    count: 170,
    make(i) {
      const file = path.join(folder, "x.safetensors");
      if (i < named.length) writeFileSync(file, named[i]);
      else if (below(3) === 0) writeFileSync(file, mutateBytes(safetensors, below(2) ? 16 : 2000));
      else writeFileSync(file, withHeader(mutateJson(header), data));
      return file;
    },
    read: readSafe,
    good: () => readSafe(golden("gguf-llama.safetensors")),
  },
  index: {
    count: 60,
    make() {
      const names = Object.keys(JSON.parse(header)).filter((name) => name !== "__metadata__");
      const index = { metadata: { total_size: 1 }, weight_map: {} };
      for (const name of names) index.weight_map[name] = "model-00001-of-00001.safetensors";
      const file = path.join(folder, "model.safetensors.index.json");
      const odd = [
        "../x.safetensors",
        "/etc/passwd",
        "model-00002-of-00001.safetensors",
        "",
        ".",
        "x\0.safetensors",
      ];
      if (below(3) === 0) index.weight_map[pick(names)] = pick(odd);
      else if (below(2) === 0) index.weight_map[pick(oddValues)] = "model-00001-of-00001.safetensors";
      const text = JSON.stringify(index);
      writeFileSync(file, below(2) ? text : mutateJson(text));
      copyFileSync(golden("gguf-llama.safetensors"), path.join(folder, "model-00001-of-00001.safetensors"));
      return file;
    },
    read: readCheckpoint,
  },
  gguf: {
    count: 170,
    make() {
      const source = pick(["gguf-types.gguf", "gguf-llama.gguf", "gguf-gpt2.gguf"]);
      const bytes = readFileSync(golden(source));
      const file = path.join(folder, source.includes("types") ? "types.gguf" : "model.gguf");
      // The counts; the metadata; the list of tensors; anywhere.
      const most = pick([32, 400, source.includes("types") ? 2500 : 12_000, bytes.length]);
      writeFileSync(file, mutateBytes(bytes, most));
      return file;
    },
    read: readGGUF,
    good: () => readGGUF(golden("gguf-gpt2.gguf")),
  },
  config: {
    count: 130,
    make() {
      const model = path.join(folder, "model");
      mkdirSync(model);
      const isGPT = below(2) === 0;
      const source = isGPT ? "gguf-gpt2.safetensors" : "gguf-llama.safetensors";
      copyFileSync(golden(source), path.join(model, "model.safetensors"));
      writeFileSync(path.join(model, "config.json"), mutateJson(isGPT ? gptConfig : llamaConfig));
      return model;
    },
    async read(model) {
      const text = readFileSync(path.join(model, "config.json"), "utf8");
      await (text.includes("gpt2") || text.includes("n_embd") ? GPT : Llama).fromPretrained(model);
      globalThis.gc();
    },
  },
};

const gptBytes = readFileSync(golden("gguf-gpt2.safetensors"));
const { config: gptConfig } = JSON.parse(
  gptBytes.subarray(8, 8 + Number(gptBytes.readBigUInt64LE())),
).__metadata__;

// ---- the run

for (const { good } of Object.values(kinds)) await good?.();
const good = path.join(folder, "good");
mkdirSync(good);
copyFileSync(golden("gguf-gpt2.safetensors"), path.join(good, "model.safetensors"));
writeFileSync(path.join(good, "config.json"), gptConfig);
await GPT.fromPretrained(good);

if (process.platform === "linux") {
  const [, kibibytes] = /VmSize:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"));
  execFileSync("prlimit", ["--pid", String(process.pid), `--as=${(Number(kibibytes) + 512 * 1024) * 1024}`]);
}

const before = process.resourceUsage().maxRSS;
const report = { wrong: [], slowest: 0 };
for (const [kind, { count, make, read }] of Object.entries(kinds)) {
  report[kind] = { refused: 0, read: 0 };
  for (let i = 0; i < count; i++) {
    const file = make(i);
    const start = performance.now();
    try {
      await read(file);
      report[kind].read++;
    } catch (error) {
      // A model too large for any memory says so.
      const isRefused = isCoded(error) || (kind === "config" && error?.code === "ERR_OOM");
      if (isRefused && error.message.length < 2000) report[kind].refused++;
      else report.wrong.push(`${kind} ${i}: ${error?.stack ?? error}`.slice(0, 1500));
    }
    report.slowest = Math.max(report.slowest, performance.now() - start);
    rmSync(file, { recursive: true, force: true });
  }
}
report.grownMiB = (process.resourceUsage().maxRSS - before) / 1024;
console.log(JSON.stringify(report));
