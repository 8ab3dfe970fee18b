import { type Attention, topCount } from "../header.ts";

/** The weights of one head as the file has them: each, or the largest in each cell of a grid. */
export class HeadWeights {
  readonly rows: number;
  readonly columns: number;
  readonly causal: boolean;
  /** Rows and columns of what is held: those of the texts, or of the grid. */
  readonly grid: readonly [rows: number, columns: number];
  private readonly values: Float32Array;
  private readonly top: { columns: ArrayLike<number>; weights: Float32Array } | undefined;

  constructor(
    rows: number,
    columns: number,
    causal: boolean,
    grid: readonly [number, number],
    values: Float32Array,
    top?: { columns: ArrayLike<number>; weights: Float32Array },
  ) {
    this.rows = rows;
    this.columns = columns;
    this.causal = causal;
    this.grid = grid;
    this.values = values;
    this.top = top;
  }

  get isExact(): boolean {
    return this.grid[0] === this.rows && this.grid[1] === this.columns;
  }

  /** The cell of the grid where a token lies. */
  rowOf(i: number): number {
    return Math.floor(((i + 1) * this.grid[0] - 1) / this.rows);
  }
  columnOf(j: number): number {
    return Math.floor(((j + 1) * this.grid[1] - 1) / this.columns);
  }
  /** The first token of a cell. */
  firstRow(row: number): number {
    return Math.floor((row * this.rows) / this.grid[0]);
  }
  firstColumn(column: number): number {
    return Math.floor((column * this.columns) / this.grid[1]);
  }

  /** Of a cell of the grid. */
  cell(row: number, column: number): number {
    if (!this.causal) return this.values[row * this.grid[1] + column]!;
    return column > row ? 0 : this.values[(row * (row + 1)) / 2 + column]!;
  }

  /** What token i reads: each weight, or the largest near it where only the grid and the top of each row are known. */
  row(i: number): Float32Array {
    const out = new Float32Array(this.columns);
    const row = this.rowOf(i);
    const last = this.causal ? i : this.columns - 1;
    if (this.top) {
      for (let k = i * topCount; k < (i + 1) * topCount; k++) {
        if (this.top.weights[k]! > 0) out[this.top.columns[k]!] = this.top.weights[k]!;
      }
    } else for (let j = 0; j <= last; j++) out[j] = this.cell(row, this.columnOf(j));
    return out;
  }
}

/** The sections' numbers of one attention, cut into its heads. */
export function headsFrom(
  attention: Attention,
  rows: number,
  columns: number,
  of: (section: "dense" | "pooled" | "top.columns" | "top.weights") => ArrayLike<number> | undefined,
): HeadWeights[] {
  const { causal, grid, dense, pooled, top } = attention;
  const stored = (section: "dense" | "pooled", place: number, [r, c]: readonly [number, number]) => {
    const size = causal ? (r * (r + 1)) / 2 : r * c;
    return (of(section) as Float32Array).subarray(place * size, (place + 1) * size);
  };
  return Array.from({ length: attention.heads }, (_, head) => {
    const whole = dense.indexOf(head);
    const size = [rows, columns] as const;
    if (whole >= 0) return new HeadWeights(rows, columns, causal, size, stored("dense", whole, size));
    const tops = top.indexOf(head);
    const n = rows * topCount;
    return new HeadWeights(
      rows,
      columns,
      causal,
      grid,
      stored("pooled", pooled.indexOf(head), grid),
      tops < 0
        ? undefined
        : {
            columns: (of("top.columns") as Uint16Array).subarray(tops * n, (tops + 1) * n),
            weights: (of("top.weights") as Float32Array).subarray(tops * n, (tops + 1) * n),
          },
    );
  });
}
