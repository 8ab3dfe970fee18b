import { shade } from "../../page/color.ts";
import { byId, choice, fitted, fontOf, html, widthOf } from "../../page/dom.ts";
import { tipOn } from "../../page/tip.ts";
import { percent } from "../../page/words.ts";
import type { Data } from "./data.ts";
import type { Measure, Selection } from "./selection.ts";
import type { HeadWeights } from "./weights.ts";

/** Cells of the texts behind one cell of the picture. */
interface Cells {
  readonly rows: number;
  readonly columns: number;
  /** Pixels of a cell. */
  readonly size: number;
}

const labelSize = 10.5;
/** Pixels of a cell from which on its row has a label, and what short labels take beside the cells. */
const labelledCell = 9;
const labelRoom = 40;

/** What one head reads, large: rows read, columns are read. */
export class HeadMap {
  private readonly data: Data;
  private readonly selection: Selection;
  private readonly box = byId("map");
  private readonly press: (current: Measure) => void;

  constructor(data: Data, selection: Selection) {
    this.data = data;
    this.selection = selection;
    this.press = choice<Measure>(byId("measure"), (measure) => selection.set({ measure }));
  }

  draw(): void {
    const { data } = this;
    const { attention, head, measure } = this.selection.now;
    this.press(measure);
    const looking = data.attention[attention];
    if (looking === undefined) return;
    const weights = data.weights[attention]![head - 1]!;
    const row = looking.of === "source" ? this.selection.now.source : this.selection.now.token;
    this.drawTitle();
    const { canvas, cells, left } = this.paint(weights, this.scale(), row);
    const name = data.headName(attention, head);
    canvas.setAttribute("aria-label", `Attention of head ${name}. ${this.readings(weights, row)}`);
    const cellUnder = (event: MouseEvent): [number, number] | undefined => {
      const box = canvas.getBoundingClientRect();
      const i = Math.floor((event.clientY - box.top) / cells.size);
      const j = Math.floor((event.clientX - box.left - left) / cells.size);
      const isIn = i >= 0 && j >= 0 && i < cells.rows && j < cells.columns;
      return isIn
        ? [Math.floor((i * weights.rows) / cells.rows), Math.floor((j * weights.columns) / cells.columns)]
        : undefined;
    };
    tipOn(canvas, (event) => {
      const at = cellUnder(event);
      if (at === undefined || (weights.causal && at[1] > at[0])) return undefined;
      const [i, j] = at;
      const value = weights.cell(weights.rowOf(i), weights.columnOf(j));
      const isPooled = !weights.isExact || cells.rows < weights.rows || cells.columns < weights.columns;
      return `“${data.token(looking.of, i)}” reads “${data.token(looking.from, j)}”: ${isPooled ? "near it up to " : ""}${percent(value)}`;
    });
    canvas.addEventListener("click", (event) => {
      const at = cellUnder(event);
      if (at) this.selection.set(looking.of === "source" ? { source: at[0] } : { token: at[0] });
    });
    this.box.replaceChildren(canvas);
    byId("map-note").textContent = `${this.readings(weights, row)}${
      weights.isExact
        ? ""
        : ` Each cell shows the largest weight of about ${Math.ceil(weights.rows / weights.grid[0])} × ${Math.ceil(weights.columns / weights.grid[1])} tokens.`
    }`;
  }

  /** The row of the chosen token, in words: the same as its place in the picture. */
  private readings(weights: HeadWeights, row: number): string {
    const { attention } = this.selection.now;
    const { of, from } = this.data.attention[attention]!;
    const values = weights.row(row);
    const best = [...values.keys()].filter((j) => values[j]! > 0.02).sort((a, b) => values[b]! - values[a]!);
    const list = best.slice(0, 4).map((j) => `“${this.data.token(from, j)}” ${percent(values[j]!)}`);
    return `“${this.data.token(of, row)}” reads ${list.length === 0 ? "everything alike" : list.join(", ")}.`;
  }

  /** What each read token's weight is multiplied by: 1, or the length of its message relative to the longest. */
  private scale(): Float32Array | undefined {
    const { attention, head, measure } = this.selection.now;
    const sizes = measure === "message" ? this.data.numbersOf(`sizes.${attention}`) : undefined;
    if (sizes === undefined) return undefined;
    const columns = this.data.lengthOf(this.data.attention[attention]!.from);
    const own = sizes.subarray((head - 1) * columns, head * columns);
    const most = own.reduce((a, b) => Math.max(a, b), 1e-9);
    return own.map((size) => size / most);
  }

  private drawTitle(): void {
    const { attention, head } = this.selection.now;
    const { kinds, from } = this.data.attention[attention]!;
    const [kind, share] = kinds[head - 1]!;
    const habit =
      kind !== "broad"
        ? ` · ${kind} gets ${percent(share)} of its attention`
        : from === "source"
          ? " · reads the source"
          : " · spreads its attention";
    byId("map-title").replaceChildren(html("b", {}, `Head ${this.data.headName(attention, head)}`), habit);
  }

  private paint(weights: HeadWeights, scale: Float32Array | undefined, row: number) {
    const { attention } = this.selection.now;
    const { of, from } = this.data.attention[attention]!;
    const width = this.box.clientWidth;
    const side = Math.min(width, 640) - labelRoom;
    const isLabelled =
      width > 460 &&
      weights.isExact &&
      Math.floor(side / Math.max(weights.rows, weights.columns)) >= labelledCell;
    const words = (text: typeof of, length: number) =>
      Array.from({ length: isLabelled ? length : 0 }, (_, i) =>
        fitted(this.data.token(text, i), 72, labelSize),
      );
    const [rowWords, columnWords] = [words(of, weights.rows), words(from, weights.columns)];
    const room = (list: string[]) =>
      isLabelled ? Math.ceil(Math.max(...list.map((w) => widthOf(w, labelSize, 600)))) + 9 : 2;
    const [left, below] = [room(rowWords), room(columnWords)];
    const cells = fit(weights, Math.min(width - left - 2, 640));
    const [wide, high] = [left + cells.columns * cells.size + 2, cells.rows * cells.size + below];
    const ratio = devicePixelRatio || 1;
    const canvas = html("canvas", {
      width: Math.round(wide * ratio),
      height: Math.round(high * ratio),
      role: "img",
    });
    canvas.style.width = `${wide}px`;
    canvas.style.height = `${high}px`;
    const context = canvas.getContext("2d")!;
    context.scale(ratio, ratio);
    context.imageSmoothingEnabled = false;
    const picture = matrix(weights, cells, scale);
    context.drawImage(picture, left, 0, cells.columns * cells.size, cells.rows * cells.size);
    const style = getComputedStyle(document.documentElement);
    const color = (name: string) => style.getPropertyValue(name);
    if (cells.size > 5) drawSeams(context, left, cells, color("--paper"));
    const marked = Math.floor((row * cells.rows) / weights.rows);
    const end = weights.causal ? Math.floor(((row + 1) * cells.columns) / weights.columns) : cells.columns;
    context.strokeStyle = color("--ink");
    context.lineWidth = 1.25;
    context.strokeRect(
      left - 0.5,
      marked * cells.size - 0.5,
      Math.max(1, end) * cells.size + 0.5,
      cells.size + 0.5,
    );
    context.textBaseline = "middle";
    const read = weights.row(row);
    const size = Math.min(labelSize, cells.size + 0.5);
    rowWords.forEach((word, i) => {
      context.font = fontOf(size, i === row ? 600 : 400);
      context.fillStyle = color(i === row ? "--ink" : "--quiet");
      context.textAlign = "right";
      context.fillText(word, left - 6, (i + 0.5) * cells.size);
    });
    columnWords.forEach((word, j) => {
      context.save();
      context.translate(left + (j + 0.5) * cells.size, cells.rows * cells.size + 6);
      context.rotate(-Math.PI / 2);
      context.font = fontOf(size, read[j]! > 0.15 ? 600 : 400);
      context.fillStyle = color(read[j]! > 0.15 ? "--ink" : "--quiet");
      context.fillText(word, 0, 0);
      context.restore();
    });
    return { canvas, cells, left };
  }
}

/** Whole pixels a cell; where there are more cells than pixels, one pixel for several. */
function fit({ grid: [rows, columns] }: HeadWeights, side: number): Cells {
  const size = Math.min(40, Math.floor(side / Math.max(rows, columns)));
  if (size >= 1) return { rows, columns, size };
  const scale = Math.floor(side) / Math.max(rows, columns);
  return { rows: Math.ceil(rows * scale), columns: Math.ceil(columns * scale), size: 1 };
}

/** A picture of one pixel a cell: the largest where several fall together, so that a single spike survives. */
function matrix(weights: HeadWeights, cells: Cells, scale: Float32Array | undefined): HTMLCanvasElement {
  const [rows, columns] = weights.grid;
  const most = new Float32Array(cells.rows * cells.columns);
  for (let i = 0; i < rows; i++) {
    const y = Math.floor((i * cells.rows) / rows) * cells.columns;
    const end = weights.causal ? i + 1 : columns;
    for (let j = 0; j < end; j++) {
      const at = y + Math.floor((j * cells.columns) / columns);
      const value = weights.cell(i, j) * (scale ? scale[weights.firstColumn(j)]! : 1);
      if (value > most[at]!) most[at] = value;
    }
  }
  const canvas = html("canvas", { width: cells.columns, height: cells.rows });
  const context = canvas.getContext("2d")!;
  const image = context.createImageData(cells.columns, cells.rows);
  for (let k = 0; k < most.length; k++) {
    const isMasked = weights.causal && k % cells.columns > Math.floor(k / cells.columns);
    const [r, g, b] = shade("up", isMasked ? 0 : Math.max(0.03, Math.sqrt(Math.min(1, most[k]!))));
    image.data.set([r, g, b, isMasked ? 0 : 255], k * 4);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Lines of paper between cells that are large enough to be told apart. */
function drawSeams(context: CanvasRenderingContext2D, left: number, cells: Cells, paper: string): void {
  context.fillStyle = paper;
  const { rows, columns, size } = cells;
  for (let i = 1; i <= rows; i++) context.fillRect(left, i * size - 1, columns * size, 1);
  for (let j = 1; j <= columns; j++) context.fillRect(left + j * size - 1, 0, 1, rows * size);
}
