import { byId, html, svg } from "../../page/dom.ts";
import { tipOn } from "../../page/tip.ts";
import { brief } from "../../page/words.ts";
import type { Data } from "./data.ts";
import type { Selection } from "./selection.ts";

interface Row {
  readonly label: string;
  readonly y: number;
  readonly token: number;
  readonly place: number;
}

/** Two dot plots on logarithmic axes: what each part wrote, and the gradient that came back to it. */
export class Loudness {
  private readonly data: Data;
  private readonly selection: Selection;
  private readonly width: number;
  private readonly typical = new Map<string, Float64Array>();

  constructor(data: Data, selection: Selection) {
    this.data = data;
    this.selection = selection;
    this.width = Math.max(data.length, data.lengthOf("source"));
    for (const name of ["wrote", "gradient"]) {
      const values = data.numbersOf(name);
      if (values === undefined) continue;
      const means = data.header.writes.map(({ of }, k) => {
        const row = values.subarray(k * this.width, k * this.width + data.lengthOf(of)).filter((v) => v > 0);
        return Math.exp(row.reduce((sum, v) => sum + Math.log(v), 0) / row.length);
      });
      this.typical.set(name, Float64Array.from(means));
    }
  }

  draw(): void {
    const { data } = this;
    const { token, source } = this.selection.now;
    const { writes } = data.header;
    byId("loudness-section").hidden = writes.length === 0;
    if (writes.length === 0) return;
    const box = byId("loudness");
    const width = box.clientWidth;
    const isNarrow = width < 560;
    const hasGradient = data.numbersOf("gradient") !== undefined;
    const left = Math.min(150, isNarrow ? 92 : 132);
    const gap = isNarrow ? 16 : 56;
    const panel = Math.max(1, hasGradient ? (width - left - gap) / 2 : width - left);
    let y = 50;
    const rows: Row[] = [];
    for (let place = writes.length - 1; place >= 0; place--) {
      const { label, of } = writes[place]!;
      rows.push({ label, y, place, token: of === "source" ? source : token });
      y += /attention|position/.test(label) ? 32 : 24;
    }
    const said = rows.map((row) => `${row.label} wrote ${brief(this.value("wrote", row))}`).join("; ");
    const picture = svg("svg", {
      ...{ width, height: y, viewBox: `0 0 ${width} ${y}`, role: "img" },
      "aria-label": `At ${data.token("tokens", token)}: ${said}`,
    });
    for (const row of rows)
      picture.append(
        svg(
          "text",
          { class: "part", x: 0, y: row.y + 4 },
          isNarrow ? row.label.replace("attention", "att.") : row.label,
        ),
      );
    this.drawPanel(
      picture,
      rows,
      "wrote",
      left,
      panel,
      y,
      isNarrow ? "forward" : "forward: what each part wrote",
    );
    if (hasGradient) {
      const title = isNarrow ? "backward" : "backward: the gradient that came back";
      this.drawPanel(picture, rows, "gradient", left + panel + gap, panel, y, title);
    }
    box.replaceChildren(picture);
    byId("loudness-lead").replaceChildren(
      "The stream of ",
      html("b", {}, data.token("tokens", token)),
      `, bottom to top. Left, the length of the vector each part added to it.${
        hasGradient ? " Right, the length of the loss gradient at that point on its way back down." : ""
      } The tick is a typical token of this text; scales are logarithmic.`,
    );
  }

  private value(name: string, { place, token }: Row): number {
    return this.data.numbersOf(name)![place * this.width + token]!;
  }

  private drawPanel(
    picture: SVGElement,
    rows: readonly Row[],
    name: string,
    left: number,
    width: number,
    bottom: number,
    title: string,
  ): void {
    const typical = (row: Row) => this.typical.get(name)![row.place]!;
    const logs = rows
      .flatMap((row) => [this.value(name, row), typical(row)])
      .filter((v) => v > 0)
      .map(Math.log10);
    picture.append(svg("text", { class: "part", x: left, y: 12 }, title));
    if (logs.length === 0) {
      picture.append(svg("text", { class: "quiet", x: left, y: 44 }, "nothing to show for this token"));
      return;
    }
    const low = Math.min(...logs) - 0.15;
    const high = Math.max(...logs) + 0.15;
    const x = (value: number) => left + ((Math.log10(value) - low) / (high - low)) * width;
    let lastLabel = -Infinity;
    for (const tick of ticks(low, high)) {
      const at = x(tick);
      picture.append(svg("line", { class: "hair", x1: at, x2: at, y1: 38, y2: bottom - 8 }));
      if (at - lastLabel < 42) continue;
      lastLabel = at;
      picture.append(
        svg("text", { class: "quiet number", x: at, y: 31, "text-anchor": "middle" }, brief(tick)),
      );
    }
    const hue = name === "wrote" ? "up" : "down";
    for (const row of rows) {
      const value = this.value(name, row);
      if (!(value > 0)) continue;
      const [here, usual] = [x(value), x(typical(row))];
      const reach = svg("rect", { class: "reach", x: left, y: row.y - 12, width, height: 24 });
      tipOn(reach, () => `${row.label}: ${brief(value)} here, ${brief(typical(row))} for a typical token`);
      picture.append(
        svg("line", { class: `span ${hue}`, x1: usual, x2: here, y1: row.y, y2: row.y }),
        svg("line", { class: "tick", x1: usual, x2: usual, y1: row.y - 6, y2: row.y + 6 }),
        svg("circle", { class: `dot ${hue}`, cx: here, cy: row.y, r: 4.5 }),
        reach,
      );
    }
  }
}

/** 1 and 3 of each power of ten between two logarithms. */
function ticks(low: number, high: number): number[] {
  const found: number[] = [];
  for (let e = Math.floor(low); e <= high; e++) {
    for (const digit of [1, 3]) {
      const log = e + Math.log10(digit);
      if (log >= low && log <= high) found.push(Number(`${digit}e${e}`));
    }
  }
  return found;
}
