/**
 * Writes the tables of cuda-model.md anew. Needs no GPU.
 *
 *   node scripts/bench.mjs cuda-model
 */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { loadCases, withLarger } from "./cases.ts";
import { deviceTable, kernelTable, opTable, productTable } from "./cuda-tables.ts";

const file = path.resolve("bench/cuda-model.md");
const before = readFileSync(file, "utf8");
const cases = withLarger(await loadCases());
const tables: Readonly<Record<string, string>> = {
  devices: deviceTable(),
  kernels: kernelTable(),
  products: productTable(),
  ops: opTable(cases, before),
};
const after = before.replace(
  /(<!-- table: (\w+) -->\n)[\s\S]*?(<!-- end -->)/g,
  (_, begin: string, name: string, end: string) => `${begin}\n${tables[name]}\n\n${end}`,
);
writeFileSync(file, after);
