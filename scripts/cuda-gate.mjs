/**
 * `node scripts/cuda-gate.mjs [--record]`: what the machine code of the CUDA kernels needs and does, without a GPU.
 *
 * Every kernel is assembled for two architectures, those of the files hopper.cu for one. cuda/gate.json has rules (written by hand) and measurements
 * (written by --record). The gate fails where
 *
 *   - a kernel spills registers, or has a stack or local memory that its rule does not allow,
 *   - tensor-core instructions, matrix loads or asynchronous copies are not as many as in the PTX,
 *   - fewer warps fit on a multiprocessor than the rule demands,
 *   - the share of tensor-core instructions in the main loop is below the rule's, or more than a point below what
 *     was recorded,
 *   - a kernel has no record, or a record no kernel.
 *
 * The main loop is the innermost one with the most tensor-core instructions. "shared" is 2 (LDSM + LDGSTS) / HMMA of it:
 * cycles of shared memory per cycle of the tensor cores, at the rates of sm_80.
 */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import {
  buildPtx,
  findNvcc,
  hashOf,
  inParallel,
  isForHopper,
  noNvcc,
  output,
  ptxFolder,
} from "./cuda-ptx.mjs";

const file = fileURLToPath(new URL("../cuda/gate.json", import.meta.url));

/** Of a multiprocessor: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability". */
const architectures = {
  sm_80: { warps: 64, blocks: 32, registers: 65536, sharedBytes: 164 * 1024 },
  sm_90: { warps: 64, blocks: 32, registers: 65536, sharedBytes: 228 * 1024 },
  sm_90a: { warps: 64, blocks: 32, registers: 65536, sharedBytes: 228 * 1024 },
};
/** Those for which a file of PTX is assembled. */
const architecturesOf = (name) => (isForHopper(name) ? ["sm_90a"] : ["sm_80", "sm_90"]);
/** Registers are given to a warp 256 at a time, by one of four equal parts of the multiprocessor. */
const registerUnit = 256;
const partitions = 4;
/** What the system takes of the shared memory of each block, and the unit of the rest. */
const sharedReserved = 1024;
const sharedUnit = 128;

const roundUp = (x, unit) => Math.ceil(x / unit) * unit;

/** How many warps of a kernel fit. */
function residentWarps(sm, { registers, threads, sharedBytes }) {
  const warps = Math.ceil(threads / 32);
  const perPartition = Math.floor(sm.registers / partitions / roundUp(registers * 32, registerUnit));
  const blocks = Math.min(
    Math.floor((perPartition * partitions) / warps),
    Math.floor(sm.sharedBytes / (roundUp(sharedBytes, sharedUnit) + sharedReserved)),
    Math.floor(sm.warps / warps),
    sm.blocks,
  );
  return blocks * warps;
}

// ---- PTX

/** Of each kernel of a PTX text: how many threads it declares (or undefined), and its instructions of interest. */
function readPtx(text) {
  const kernels = {};
  for (const part of text.split(/\.entry\s+/).slice(1)) {
    const name = part.match(/^\w+/)[0];
    const [head] = part.split("{", 1);
    const threads = head.match(/\.maxntid\s+(\d+)(?:,\s*(\d+))?(?:,\s*(\d+))?/);
    const count = (pattern) => part.match(pattern)?.length ?? 0;
    kernels[name] = {
      threads: threads?.slice(1).reduce((product, n) => product * Number(n ?? 1), 1),
      HMMA: count(/\bmma\.sync/g),
      HGMMA: count(/\bwgmma\.mma_async\./g),
      LDSM: count(/\bldmatrix\./g),
      LDGSTS: count(/\bcp\.async\.c[ag]\./g),
    };
  }
  return kernels;
}

// ---- machine code

/** An instruction has 16 bytes; the low 12 bits tell which it is: one of these. */
const bytes = 16;
const opcodes = {
  HMMA: [0x23c],
  HGMMA: [0x9f0, 0xdf0],
  LDSM: [0x83b],
  LDGSTS: [0xfae],
  STL: [0x387],
  LDL: [0x983],
};
const branch = 0x947;

/** How far a branch goes, in bytes from the instruction behind it. */
function branchOffset(architecture, low, high) {
  if (architecture === "sm_80") return Number(BigInt.asIntN(50, (low >> 32n) | ((high & 0x3ffffn) << 32n)));
  const words = BigInt.asIntN(48, ((low >> 34n) & 0x3fffffffn) | ((high & 0x3ffffn) << 30n));
  return Number((words << 10n) | (((low >> 16n) & 0xffn) << 2n));
}

function* sections(elf) {
  const headers = Number(elf.readBigUInt64LE(40));
  const at = (i) => {
    const header = headers + i * elf.readUInt16LE(58);
    const begin = Number(elf.readBigUInt64LE(header + 24));
    return { name: elf.readUInt32LE(header), begin, size: Number(elf.readBigUInt64LE(header + 32)) };
  };
  const names = at(elf.readUInt16LE(62)).begin;
  for (let i = 0; i < elf.readUInt16LE(60); i++) {
    const { name, begin, size } = at(i);
    yield { name: elf.toString("latin1", names + name, elf.indexOf(0, names + name)), begin, size };
  }
}

const countsOf = (ops) =>
  Object.fromEntries(
    Object.entries(opcodes).map(([name, codes]) => [name, ops.filter((op) => codes.includes(op)).length]),
  );

/** Of each kernel of a cubin: counts of instructions, in all and in the main loop. */
function readCubin(elf, architecture) {
  const kernels = {};
  for (const { name, begin, size } of sections(elf)) {
    if (!name.startsWith(".text.")) continue;
    const ops = [];
    const loops = [];
    for (let at = 0; at < size; at += bytes) {
      const low = elf.readBigUInt64LE(begin + at);
      const op = Number(low & 0xfffn);
      ops.push(op);
      if (op !== branch) continue;
      const target = at + bytes + branchOffset(architecture, low, elf.readBigUInt64LE(begin + at + 8));
      // A branch to itself fills the end of the code.
      if (target >= 0 && target < at && target % bytes === 0) loops.push([target / bytes, at / bytes]);
    }
    const bodies = loops
      .map(([first, last]) => ({ first, last, ops: ops.slice(first, last + 1) }))
      .map((loop) => ({ ...loop, counts: countsOf(loop.ops) }))
      .filter(({ counts }) => counts.HMMA > 0);
    const innermost = bodies.filter(
      (outer) =>
        !bodies.some((loop) => loop !== outer && loop.first >= outer.first && loop.last <= outer.last),
    );
    innermost.sort((a, b) => b.counts.HMMA - a.counts.HMMA || a.ops.length - b.ops.length);
    const main = innermost[0];
    kernels[name.slice(".text.".length)] = {
      counts: countsOf(ops),
      ...(main && {
        share: (100 * main.counts.HMMA) / main.ops.length,
        shared: (2 * (main.counts.LDSM + main.counts.LDGSTS)) / main.counts.HMMA,
      }),
    };
  }
  return kernels;
}

/** Of each kernel: registers, stack and spilled bytes, from what ptxas -v prints. */
function readLog(log) {
  const kernels = {};
  const pattern =
    /entry function '(\w+)' for '\w+'[\s\S]*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads[\s\S]*?Used (\d+) registers/g;
  for (const [, name, stack, stores, loads, registers] of log.matchAll(pattern))
    kernels[name] = {
      registers: Number(registers),
      stack: Number(stack),
      spilled: Number(stores) + Number(loads),
    };
  return kernels;
}

/** Assembles what changed; resolves to the log of ptxas and the cubin. */
async function assemble(nvcc, name, architecture) {
  const ptx = path.join(ptxFolder, `${name}.ptx`);
  const cubin = path.join(ptxFolder, `${name}.${architecture}.cubin`);
  const log = path.join(ptxFolder, `${name}.${architecture}.log`);
  const key = `${hashOf(readFileSync(ptx))}\n`;
  if (!existsSync(log) || !existsSync(cubin) || !readFileSync(log, "utf8").startsWith(key)) {
    rmSync(log, { force: true });
    const printed = await output(nvcc, [
      "-cubin",
      `-arch=${architecture}`,
      "-Xptxas",
      "-v",
      ptx,
      "-o",
      cubin,
    ]);
    writeFileSync(log, key + printed);
  }
  return { log: readFileSync(log, "utf8"), cubin: readFileSync(cubin) };
}

// ---- rules

/** The function of a mangled name, without namespaces, and its template arguments that are numbers. */
function parts(mangled) {
  let at = mangled.startsWith("_ZN") ? 3 : 2;
  let name = mangled;
  for (;;) {
    const length = mangled.slice(at).match(/^\d+/)?.[0];
    if (!length) break;
    at += length.length + Number(length);
    name = mangled.slice(at - Number(length), at);
  }
  return {
    name,
    numbers: [...mangled.slice(at).matchAll(/L(?:[a-z]|N\w*?E)(\d+)E/g)].map(([, n]) => Number(n)),
  };
}

/**
 * The first rule for a kernel on an architecture. What is text in a rule is an expression of the kernel's template
 * arguments $1, $2, ..., of `max` and of `sm`, 80 or 90.
 */
function ruleFor(rules, mangled, architecture) {
  const { name, numbers } = parts(mangled);
  const known = { max: Math.max, sm: Number.parseInt(architecture.slice("sm_".length), 10) };
  for (const [i, n] of numbers.entries()) known[`$${i + 1}`] = n;
  const evaluate = (expression) =>
    typeof expression === "string"
      ? Number(new Function(...Object.keys(known), `return ${expression};`)(...Object.values(known)))
      : expression;
  const rule = rules.find(
    ({ kernel, where }) => (kernel === "*" || kernel === name) && (!where || evaluate(where)),
  );
  if (!rule) throw new Error(`${mangled}: no rule in cuda/gate.json`);
  return {
    ...rule,
    threads: evaluate(rule.threads),
    warps: evaluate(rule.warps),
    sharedBytes: evaluate(rule.sharedBytes ?? 0),
  };
}

const rounded = (x, digits) => Number(x.toFixed(digits));

/** What is wrong with a kernel on an architecture. */
function* complaints(rule, ptx, found, recorded) {
  if (found.spilled > 0) yield `${found.spilled} bytes spilled`;
  if (found.stack > (rule.stack ?? 0)) yield `a stack of ${found.stack} bytes`;
  if (!rule.stack && found.local > 0) yield `${found.local} accesses of local memory`;
  for (const name of ["HMMA", "HGMMA", "LDSM", "LDGSTS"])
    if (found[name] !== ptx[name]) yield `${found[name]} ${name}, ${ptx[name]} in the PTX`;
  if (found.warps < rule.warps) yield `${found.warps} warps fit on a multiprocessor, not ${rule.warps}`;
  if (rule.share !== undefined && !(found.share >= rule.share))
    yield `${found.share ?? 0} % of the main loop are HMMA, not ${rule.share} %`;
  if (recorded?.share !== undefined && !(found.share >= recorded.share - 1))
    yield `${found.share ?? 0} % of the main loop are HMMA, ${recorded.share} % were recorded`;
}

/** Measures every kernel: { kernel: { ptx, sm_80: { record, checked, rule }, sm_90: {...} } } */
async function measure(nvcc, rules) {
  const names = await buildPtx(nvcc);
  for (const old of readdirSync(ptxFolder)) {
    const name = old.match(/^(.*)\.sm_\d+a?\.(cubin|log)$/)?.[1];
    if (name && !names.includes(name)) rmSync(path.join(ptxFolder, old));
  }
  const kernels = {};
  for (const name of names)
    for (const [kernel, ptx] of Object.entries(
      readPtx(readFileSync(path.join(ptxFolder, `${name}.ptx`), "utf8")),
    ))
      kernels[kernel] = { ptx, from: name };
  const withKernels = [...new Set(Object.values(kernels).map(({ from }) => from))];
  const jobs = withKernels.flatMap((name) => architecturesOf(name).map((sm) => [name, sm]));
  await inParallel(jobs, async ([name, sm]) => {
    const { log, cubin } = await assemble(nvcc, name, sm);
    const needs = readLog(log);
    for (const [kernel, { counts, share, shared }] of Object.entries(readCubin(cubin, sm))) {
      if (!kernels[kernel]) continue; // a function that kernels call
      const { ptx } = kernels[kernel];
      const rule = ruleFor(rules, kernel, sm);
      const { registers, stack, spilled } = needs[kernel];
      const { HMMA, HGMMA, LDSM, LDGSTS } = counts;
      const threads = ptx.threads ?? rule.threads;
      const record = {
        registers,
        warps: residentWarps(architectures[sm], { registers, threads, sharedBytes: rule.sharedBytes }),
        ...(HMMA && { HMMA, LDSM, LDGSTS }),
        ...(HGMMA && { HGMMA }),
        ...(share && { share: rounded(share, 1), shared: rounded(shared, 2) }),
      };
      const local = counts.STL + counts.LDL;
      kernels[kernel][sm] = {
        rule,
        record,
        checked: { ...record, HMMA, HGMMA, LDSM, LDGSTS, stack, spilled, local },
      };
    }
  });
  return kernels;
}

const nvcc = findNvcc();
if (!nvcc) {
  console.error("not checked: machine code of the CUDA kernels, as there is no nvcc");
  process.exit(noNvcc);
}
const { rules, kernels: recorded } = JSON.parse(readFileSync(file, "utf8"));
const isRecording = process.argv.includes("--record");
const found = await measure(nvcc, rules);
const problems = [];
for (const [kernel, { ptx, from, ...measured }] of Object.entries(found)) {
  if (!recorded[kernel] && !isRecording) problems.push(`${kernel}: no record`);
  for (const sm of architecturesOf(from)) {
    const { rule, checked } = measured[sm];
    const before = isRecording ? undefined : recorded[kernel]?.[sm];
    for (const complaint of complaints(rule, ptx, checked, before))
      problems.push(`${kernel} (${sm}): ${complaint}`);
  }
}
const records = Object.entries(found)
  .map(([kernel, measured]) => {
    const recordOf = (sm) => [sm, measured[sm].record];
    return [kernel, Object.fromEntries(architecturesOf(measured.from).map(recordOf))];
  })
  .sort(([a], [b]) => (a < b ? -1 : 1));
if (isRecording) {
  const lines = (list) => list.map((line) => `    ${line}`).join(",\n");
  const kernelLines = records.map(
    ([kernel, record]) => `${JSON.stringify(kernel)}: ${JSON.stringify(record)}`,
  );
  writeFileSync(
    file,
    `{\n  "rules": [\n${lines(rules.map((rule) => JSON.stringify(rule)))}\n  ],\n  "kernels": {\n${lines(kernelLines)}\n  }\n}\n`,
  );
} else {
  for (const kernel of Object.keys(recorded))
    if (!found[kernel]) problems.push(`${kernel}: a record of no kernel`);
}
for (const problem of problems) console.error(problem);
console.log(
  `${records.length} kernels, ${Object.keys(architectures).join(", ")}: ${problems.length === 0 ? "nothing" : problems.length} to complain about`,
);
process.exitCode = problems.length > 0 ? 1 : 0;
