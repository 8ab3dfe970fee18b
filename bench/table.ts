/** Text in columns, for the terminal. */

export type Cell = string | number | undefined;

/** Three significant digits without an exponent; "-" for nothing. */
export function show(cell: Cell): string {
  if (cell === undefined) return "-";
  if (typeof cell === "string") return cell;
  const rounded = Number(cell.toPrecision(3));
  const digits = rounded === 0 ? 0 : 2 - Math.floor(Math.log10(Math.abs(rounded)));
  return rounded.toFixed(Math.min(Math.max(digits, 0), 4));
}

/** Rows under their heads, two spaces between columns. The first `left` columns begin at the left, numbers end at the right. */
export function formatTable(head: readonly string[], rows: readonly (readonly Cell[])[], left = 1): string {
  const cells = [head, ...rows.map((row) => row.map(show))];
  const widths = head.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? "").length)));
  const lines = cells.map((row) =>
    row
      .map((cell, i) => (i < left ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join("  ")
      .trimEnd(),
  );
  return [lines[0], widths.map((width) => "-".repeat(width)).join("  "), ...lines.slice(1)].join("\n");
}

export const percent = (part: number): string => `${Math.round(100 * part)} %`;
export const times = (ratio: number): string => `${show(ratio)}x`;

export function markdownTable(head: readonly string[], rows: readonly (readonly Cell[])[], left = 1): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rule = head.map((_, i) => (i < left ? "---" : "---:"));
  return [line(head), `|${rule.join("|")}|`, ...rows.map((row) => line(row.map(show)))].join("\n");
}
