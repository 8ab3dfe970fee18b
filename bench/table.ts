/** Text in columns, for the terminal. */

import { type Cell, formatTable, showCell as show } from "../src/print.ts";

export { type Cell, formatTable, show };

export const percent = (part: number): string => `${Math.round(100 * part)} %`;
export const times = (ratio: number): string => `${show(ratio)}x`;

export function markdownTable(head: readonly string[], rows: readonly (readonly Cell[])[], left = 1): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rule = head.map((_, i) => (i < left ? "---" : "---:"));
  return [line(head), `|${rule.join("|")}|`, ...rows.map((row) => line(row.map(show)))].join("\n");
}
