import { type Shape, sizeOf } from "./shape.ts";

const edgeItems = 3;
const threshold = 1000;
const lineWidth = 88;

/** NumPy's layout: shared number format, summarised beyond 1000 elements, rows indented under each other. */
export function printTensor(
  values: ArrayLike<number>,
  shape: Shape,
  integer: boolean,
  suffix: string,
): string {
  const summarise = sizeOf(shape) > threshold;
  const shown: number[] = [];
  visit(shape, summarise, 0, (offset) => shown.push(values[offset]!));
  const format = integer ? (x: number) => String(x) : numberFormat(shown);
  const width = Math.max(0, ...shown.map((x) => format(x).length));
  const cell = (offset: number) => format(values[offset]!).padStart(width);
  const body = shape.length === 0 ? format(values[0]!) : rows(shape, summarise, 0, "tensor([".length, cell);
  return `tensor(${body}, ${suffix})`;
}

/** The indices along one axis that are shown; -1 stands for the ellipsis. */
function shownIndices(size: number, summarise: boolean): number[] {
  const all = Array.from({ length: size }, (_, i) => i);
  return summarise && size > 2 * edgeItems ? [...all.slice(0, edgeItems), -1, ...all.slice(-edgeItems)] : all;
}

function visit(shape: Shape, summarise: boolean, offset: number, see: (offset: number) => void): void {
  const [size, ...rest] = shape;
  if (size === undefined) return see(offset);
  for (const i of shownIndices(size, summarise))
    if (i >= 0) visit(rest, summarise, offset + i * sizeOf(rest), see);
}

function rows(
  shape: Shape,
  summarise: boolean,
  offset: number,
  indent: number,
  cell: (offset: number) => string,
): string {
  const [size, ...rest] = shape;
  const step = sizeOf(rest);
  const items = shownIndices(size!, summarise).map((i) =>
    i < 0
      ? "..."
      : rest.length === 0
        ? cell(offset + i)
        : rows(rest, summarise, offset + i * step, indent + 1, cell),
  );
  if (rest.length > 0) return `[${items.join(`,${"\n".repeat(rest.length)}${" ".repeat(indent)}`)}]`;
  const lines = [""];
  for (const item of items) {
    const line = lines.at(-1)!;
    if (line !== "" && indent + line.length + item.length + 2 > lineWidth) lines.push(item);
    else lines[lines.length - 1] = line === "" ? item : `${line}, ${item}`;
  }
  return `[${lines.join(`,\n${" ".repeat(indent)}`)}]`;
}

/** NumPy's choice: up to four decimals that are needed, or scientific notation if the magnitudes lie far apart. */
function numberFormat(values: readonly number[]): (x: number) => string {
  const special = (x: number) => (Number.isNaN(x) ? "nan" : x > 0 ? "inf" : "-inf");
  const finite = values.filter(Number.isFinite).map(Math.abs);
  const nonZero = finite.filter((x) => x > 0);
  const largest = Math.max(0, ...nonZero);
  const smallest = Math.min(...nonZero);
  if (nonZero.length > 0 && (largest >= 1e8 || smallest < 1e-4 || largest / smallest > 1e3)) {
    if (nonZero.every(Number.isInteger) && largest < 1e8)
      return (x) => (Number.isFinite(x) ? `${x}.` : special(x));
    return (x) => (Number.isFinite(x) ? x.toExponential(4).replace(/e([+-])(\d)$/, "e$10$2") : special(x));
  }
  const decimals = Math.max(
    0,
    ...finite.map((x) => Number(x.toFixed(4)).toString().split(".")[1]?.length ?? 0),
  );
  return (x) => (Number.isFinite(x) ? (decimals === 0 ? `${x}.` : x.toFixed(decimals)) : special(x));
}

/** Text, or a number for a table; nothing is shown as "-". */
export type Cell = string | number | undefined;

/** Three significant digits without an exponent. */
export function showNumber(n: number): string {
  const rounded = Number(n.toPrecision(3));
  const digits = rounded === 0 ? 0 : 2 - Math.floor(Math.log10(Math.abs(rounded)));
  return rounded.toFixed(Math.min(Math.max(digits, 0), 4));
}

export const showCell = (cell: Cell): string =>
  cell === undefined ? "-" : typeof cell === "string" ? cell : showNumber(cell);

/** Rows under their heads, two spaces between columns. The first `left` columns begin at the left, others end at the right. */
export function formatTable(head: readonly string[], rows: readonly (readonly Cell[])[], left = 1): string {
  const cells = [head, ...rows.map((row) => row.map(showCell))];
  const widths = head.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? "").length)));
  const lines = cells.map((row) =>
    row
      .map((cell, i) => (i < left ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join("  ")
      .trimEnd(),
  );
  return [lines[0], widths.map((width) => "-".repeat(width)).join("  "), ...lines.slice(1)].join("\n");
}

/** A number of bytes: 512 B, 3.1 KB, 312 MB, 24.1 GB, 282 GB; units of 1000. */
export function showBytes(bytes: number): string {
  const units = ["B", "KB", "MB", "GB", "TB", "PB"];
  const last = units.length - 1;
  let power = 0;
  while (power < last && bytes / 1000 ** power >= 999.5) power++;
  const value = bytes / 1000 ** power;
  const hasFraction = power > 0 && value < (power < 3 ? 9.95 : 99.95);
  return `${value.toFixed(hasFraction ? 1 : 0)} ${units[power]}`;
}
