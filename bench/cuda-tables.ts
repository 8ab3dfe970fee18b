/** The tables of cuda-model.md, and what was measured in them. */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { OpCase } from "../test/case.ts";
import { amountOf, type Pass } from "./cases.ts";
import { type Device, devices, estimate, mmaSync, plan } from "./cuda-model.ts";
import { type Cell, markdownTable, percent, show } from "./table.ts";

const document = path.resolve("bench/cuda-model.md");
const short = devices.map(({ name }) => name.split(/[ -]/).find((word) => /\d{3}/.test(word))!);

const measuredOf = (text: string): Map<string, string> =>
  new Map(
    [...text.matchAll(/^\| ([^|]+ \| (?:forward|backward)) \|.*\| ([^|]*) \|$/gm)].map(([, key, cell]) => [
      key!,
      cell!,
    ]),
  );

export function opTable(cases: readonly OpCase[], text: string): string {
  const measured = measuredOf(text);
  const rows = cases.flatMap((opCase) =>
    (["forward", "backward"] as const).flatMap((pass): Cell[][] => {
      const amount = amountOf(opCase, pass);
      if (amount === undefined) return [];
      const { flops, read = 0, written = 0 } = amount;
      const work = flops === undefined ? `${show((read + written) / 1e6)} MB` : `${show(flops / 1e9)} GFLOP`;
      const dtypes = (["f32", "bf16"] as const).flatMap((dtype) => {
        const all = devices.map((device) => estimate(device, opCase, pass, dtype));
        return [
          all.map(([least]) => show(1e6 * least)).join(" / "),
          all.map(([least, seconds]) => percent(least / seconds).replace(" %", "")).join(" / "),
        ];
      });
      return [[opCase.name, pass, work, ...dtypes, measured.get(`${opCase.name} | ${pass}`) ?? ""]];
    }),
  );
  return markdownTable(["op", "pass", "in f32", "f32, µs", "%", "bf16, µs", "%", "measured, µs"], rows, 2);
}

/** Writes what was measured on a device into the last column: "H100 80GB HBM3: f32 9.1, bf16 5.2". */
export function fillMeasured(
  device: string,
  rows: readonly { name: string; pass: Pass; dtype: string; ms: number }[],
): void {
  const label = device.replace(/^NVIDIA (GeForce )?/, "");
  let text = readFileSync(document, "utf8");
  for (const key of new Set(rows.map(({ name, pass }) => `${name} | ${pass}`))) {
    const own = rows.filter(({ name, pass }) => `${name} | ${pass}` === key);
    const times = own.map(({ dtype, ms }) => `${dtype} ${show(1000 * ms)}`).join(", ");
    const others = (measuredOf(text).get(key) ?? "")
      .split("; ")
      .filter((x) => x && !x.startsWith(`${label}:`));
    const cell = [...others, `${label}: ${times}`].join("; ");
    text = text
      .split("\n")
      .map((line) =>
        line.startsWith(`| ${key} |`) ? line.replace(/\| [^|]* \|$/, () => `| ${cell} |`) : line,
      )
      .join("\n");
  }
  writeFileSync(document, text);
}

export const deviceTable = (): string =>
  markdownTable(
    [
      "device",
      "multiprocessors",
      "clock, GHz",
      "bf16, TFLOP/s",
      "as mma.sync",
      "multiplications / cycle",
      "f32, TFLOP/s",
      "GB/s",
    ],
    devices.map((d) => [
      d.name,
      String(d.multiprocessors),
      show(d.hertz / 1e9),
      show(d.bf16),
      show(d.bf16 * mmaSync(d.capability)),
      d.perCycle.toFixed(0),
      show(d.f32),
      String(d.memory),
    ]),
  );

// ---- what ptxas and the census found, from cuda/gate.json

interface Census {
  readonly registers: number;
  readonly warps: number;
  readonly share?: number;
  readonly shared?: number;
}

/** A kernel's name with its template arguments: numbers, and layouts of products. */
function label(mangled: string): [name: string, numbers: number[]] {
  const name = mangled.match(/\d+((?:multiply|forward|dkv|dq)_[a-z]+)I/)?.[1] ?? "";
  return [name, [...mangled.matchAll(/L[ib](\d+)E/g)].map(([, n]) => Number(n))];
}

const describeKernel: Readonly<Record<string, (n: readonly number[]) => string | undefined>> = {
  multiply_tiles: ([m, n, k, wm, wn, stages, , a, b, bounded]) =>
    bounded
      ? undefined
      : `${m}×${n}×${k}, ${stages} stages, warps ${wm}×${wn}, ${a ? (b ? "NT" : "NN") : "TN"}`,
  multiply_strict: ([m, n, k]) => `${m}×${n}×${k}, TF32 in three terms`,
  forward_kernel: ([D, , keys, , stages, , drops]) =>
    drops ? undefined : `D ${D}, ${keys} keys, ${stages} stages`,
  dkv_kernel: ([D, , , queries, , drops]) => (drops ? undefined : `D ${D}, ${queries} queries`),
  dq_kernel: ([D, , keys, , , drops]) => (drops ? undefined : `D ${D}, ${keys} keys`),
};

export function kernelTable(): string {
  const { kernels } = JSON.parse(readFileSync(path.resolve("cuda/gate.json"), "utf8")) as {
    kernels: Record<string, Record<"sm_80" | "sm_90", Census>>;
  };
  const rows = Object.entries(kernels).flatMap(([mangled, { sm_80, sm_90 }]): Cell[][] => {
    const [name, numbers] = label(mangled);
    const what = describeKernel[name]?.(numbers);
    if (what === undefined) return [];
    const both = (of: (c: Census) => number | undefined) =>
      [sm_80, sm_90].map((c) => of(c) ?? "-").join(" / ");
    const cells = [both((c) => c.registers), both((c) => c.warps), both((c) => c.share), show(sm_80.shared)];
    return [[name, what, ...cells]];
  });
  return markdownTable(["kernel", "", "registers", "warps", "share, %", "shared"], rows, 2);
}

/** Products of the model sizes: the kernel that the plan takes, and the share of the datasheet's rate that is expected. */
export function productTable(): string {
  const sizes = [
    [512, 3072, 768],
    [512, 768, 3072],
    [3072, 768, 512],
    [1024, 1024, 1024],
    [256, 50257, 768],
    [256, 768, 50257],
    [50257, 768, 256],
    [8192, 3072, 768],
    [4096, 4096, 4096],
  ];
  const rows = sizes.map((size) => {
    const flops = 2 * size.reduce((a, b) => a * b);
    const of = (device: Device): string => {
      const { name, seconds } = plan(device, size, 1);
      return `${name}: ${show(1e6 * seconds)} µs, ${percent(flops / seconds / device.bf16 / 1e12)}`;
    };
    return [size.join("×"), show(flops / 1e9), ...devices.map(of)];
  });
  return markdownTable(["M×N×K, bf16", "GFLOP", ...short], rows, 1);
}
