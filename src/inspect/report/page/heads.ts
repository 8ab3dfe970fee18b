import { css, shade } from "../../page/color.ts";
import { byId, html, pressed } from "../../page/dom.ts";
import { percent, signed } from "../../page/words.ts";
import type { Data } from "./data.ts";
import type { Selection } from "./selection.ts";
import type { HeadWeights } from "./weights.ts";

/** Pixels of a thumbnail at most; longer texts show the largest of each cell. */
const thumbnail = 96;

const short: Readonly<Record<string, string>> = {
  "previous token": "previous",
  "first token": "first",
  "after earlier copy": "after copy",
  "earlier copy": "copy",
  "next token": "next",
  "two tokens back": "two back",
  "three tokens back": "three back",
};

interface HeadView {
  readonly attention: number;
  readonly head: number;
  readonly button: HTMLButtonElement;
  readonly canvas: HTMLCanvasElement;
  readonly effect: HTMLElement;
  /** The same in words. */
  readonly said: HTMLElement;
}

/** All heads as small maps, layers from bottom to top, with what they mostly read and their measured effect. */
export class Heads {
  private readonly data: Data;
  private readonly selection: Selection;
  private readonly views: HeadView[] = [];

  constructor(data: Data, selection: Selection) {
    this.data = data;
    this.selection = selection;
    const stacks = [...new Set(data.attention.map(({ stack }) => stack))];
    for (const stack of stacks.reverse()) this.build(stack, stacks.length > 1);
  }

  private build(stack: string, isNamed: boolean): void {
    const { data } = this;
    const layers = data.attention.flatMap((a, k) => (a.stack === stack ? [k] : [])).reverse();
    const columns = Math.max(...layers.map((k) => data.attention[k]!.heads));
    const grid = html("div", { class: `grid${columns > 8 ? " many" : ""}`, "--heads": columns });
    for (const k of layers) {
      const { layer, heads } = data.attention[k]!;
      const long = html("span", { class: "long" }, "layer ");
      grid.append(html("span", { class: "layer" }, ...(columns > 8 ? [] : [long]), String(layer)));
      for (let head = 1; head <= heads; head++) grid.append(this.view(k, head));
      for (let head = heads; head < columns; head++) grid.append(html("span"));
    }
    if (isNamed)
      byId("heads").append(html("h3", {}, stack === "cross" ? "decoder reads source" : stack || "decoder"));
    byId("heads").append(grid);
  }

  private view(attention: number, head: number): HTMLElement {
    const weights = this.data.weights[attention]![head - 1]!;
    const [rows, columns] = thumbnailSize(weights);
    const canvas = html("canvas", { width: columns, height: rows, "aria-hidden": true });
    const effect = html("span", { class: "effect number" });
    const [kind] = this.data.attention[attention]!.kinds[head - 1]!;
    const name = html(
      "span",
      { class: "kind" },
      this.data.attention[attention]!.from === "source" && kind === "broad" ? "" : (short[kind] ?? kind),
    );
    const said = html("span", { class: "unseen" });
    const under = html("span", { class: "under", "aria-hidden": true }, name, effect);
    const button = html("button", { class: "head" }, canvas, said, under);
    button.addEventListener("click", () => this.selection.set({ attention, head }));
    this.views.push({ attention, head, button, canvas, effect, said });
    return button;
  }

  /** Paints the small maps: once, and again for another theme. */
  paint(): void {
    for (const { attention, head, canvas } of this.views)
      paintThumbnail(canvas, this.data.weights[attention]![head - 1]!);
  }

  draw(): void {
    const { data } = this;
    const { token, attention, head } = this.selection.now;
    const effects = this.views.map((view) => data.headEffect(view.attention, view.head, token));
    const most = Math.max(0.5, ...effects.map((e) => Math.abs(e) || 0));
    this.views.forEach((view, k) => {
      const effect = effects[k]!;
      const [kind, share] = data.attention[view.attention]!.kinds[view.head - 1]!;
      const isMeasured = !Number.isNaN(effect);
      view.effect.textContent = isMeasured && Math.abs(effect) >= 0.05 ? signed(effect, 1) : "";
      view.effect.className = `effect number ${effect < 0 ? "down" : "up"}`;
      view.button.style.setProperty("--share", String(isMeasured ? Math.abs(effect) / most : 0));
      view.button.classList.toggle("hurts", effect < 0);
      pressed(view.button, view.attention === attention && view.head === head);
      const habit = kind === "broad" ? "broad" : `${kind} ${percent(share)}`;
      const text = `Head ${data.headName(view.attention, view.head)}, ${habit}, ${isMeasured ? `effect ${signed(effect)}` : "effect not measured"}`;
      view.said.textContent = text;
      view.button.title = text;
    });
    const isAll = effects.every((e) => !Number.isNaN(e));
    const isNone = effects.every((e) => Number.isNaN(e));
    byId("heads-lead").replaceChildren(
      "Every head’s attention over the whole text, with what it mostly looks at. ",
      ...(isNone
        ? ["The effects of heads were not measured."]
        : [
            "Numbers are measured: how much the log-odds of ",
            html("b", {}, data.target(token)),
            ` fall when that head is silenced${isAll ? "." : "; heads without one were not measured."}`,
          ]),
    );
  }
}

function thumbnailSize({ grid: [rows, columns] }: HeadWeights): [number, number] {
  const scale = Math.min(1, thumbnail / Math.max(rows, columns));
  return [Math.max(1, Math.round(rows * scale)), Math.max(1, Math.round(columns * scale))];
}

/** One write of pixels; where cells of the map fall together, the largest weight shows. */
function paintThumbnail(canvas: HTMLCanvasElement, weights: HeadWeights): void {
  const { width, height } = canvas;
  const [rows, columns] = weights.grid;
  const most = new Float32Array(width * height);
  for (let i = 0; i < rows; i++) {
    const y = Math.floor((i * height) / rows) * width;
    const end = weights.causal ? i + 1 : columns;
    for (let j = 0; j < end; j++) {
      const at = y + Math.floor((j * width) / columns);
      const value = weights.cell(i, j);
      if (value > most[at]!) most[at] = value;
    }
  }
  const context = canvas.getContext("2d")!;
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const colors = Uint32Array.from({ length: 256 }, (_, k) => {
    const [r, g, b] = shade("up", k / 255);
    return (255 << 24) | (b << 16) | (g << 8) | r;
  });
  for (let k = 0; k < most.length; k++)
    pixels[k] = colors[Math.round(255 * Math.sqrt(Math.min(1, most[k]!)))]!;
  context.putImageData(image, 0, 0);
  canvas.style.backgroundColor = css(shade("up", 0));
}
