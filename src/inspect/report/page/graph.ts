import { byId, fitted, html, svg, widthOf } from "../../page/dom.ts";
import { hideTip, tipOn } from "../../page/tip.ts";
import { percent, plural, signed } from "../../page/words.ts";
import { Curve, highlight, type Views } from "./curve.ts";
import type { Data } from "./data.ts";
import { type Line, linesTo, lineWidth, type Placed, place } from "./graph-layout.ts";
import { drawMessageList } from "./message-list.ts";
import type { Selection } from "./selection.ts";

/** Lines of less than this share of the strongest's effect have no label. */
const labelled = 0.06;

const wayOf = (effect: number) => (effect < 0 ? "down" : "up");

/** The graph of the messages that made one prediction: time from left to right, layers from bottom to top. */
export class Graph {
  readonly data: Data;
  readonly selection: Selection;
  private readonly box = byId("graph");
  private readonly slider = byId<HTMLInputElement>("count");

  constructor(data: Data, selection: Selection) {
    this.data = data;
    this.selection = selection;
    this.slider.addEventListener("input", () => selection.set({ count: Number(this.slider.value) }));
  }

  draw(): void {
    const { data } = this;
    const { token, count } = this.selection.now;
    const messages = data.messages[token];
    byId("graph-control").hidden = !messages?.length;
    if (!messages?.length) {
      const reason =
        messages === undefined
          ? "was not measured: there was no time for it"
          : "shows no message that changed it";
      this.box.replaceChildren(
        html("p", { class: "note" }, `The prediction at “${data.token("tokens", token)}” ${reason}.`),
      );
      for (const id of ["messages", "graph-note", "graph-lead"]) byId(id).replaceChildren();
      return;
    }
    const lines = linesTo(token, messages, count, (m) => data.attention[m.attention]!);
    const views = this.drawLines(lines);
    drawMessageList(messages, this.box.firstElementChild as SVGElement, views, this);
    const columns = new Set(
      lines.flatMap(({ from, to }) => [`${from.text}${from.token}`, `tokens${to}`]),
    ).add(`tokens${token}`);
    const whole = data.length + data.lengthOf("source");
    this.slider.value = String(count);
    byId("graph-count").textContent =
      `${plural(lines.length, "line")} · ${columns.size} of ${plural(whole, "token")}`;
    const isWithin = messages.some((m) => data.attention[m.attention]!.of === "source");
    const isEstimated = messages.some((m) => !m.isMeasured);
    byId("graph-lead").replaceChildren(
      "Each line is a message: one token’s state, read by a head and added to another token’s stream. Width is how far the log-odds of ",
      html("b", {}, data.target(token)),
      " fall when that one message is withheld: blue helped, orange hurt. Read from bottom to top.",
    );
    byId("graph-note").textContent = `${
      isEstimated
        ? "Dashed lines, marked ≈, are estimates by gradients; the others were measured by running the model again without that message."
        : "Each message was measured by running the model again without it."
    }${data.numbersOf("mlps") ? " Diamonds are the MLPs at this token, estimated by gradients." : ""}${isWithin ? " Messages within the encoder are listed, not drawn." : ""} Effects overlap, so they do not add up.`;
  }

  private drawLines(lines: readonly Line[]): Views {
    const { data, box } = this;
    const { token } = this.selection.now;
    const width = box.clientWidth;
    const isNarrow = width < 520;
    const left = isNarrow ? 30 : 88;
    const rowHeight = Math.max(26, Math.min(isNarrow ? 64 : 78, 760 / data.header.layers));
    const top = 44;
    const placed = place(lines, token, left + 20, Math.max(10, width - left - 56));
    const levels = data.header.layers;
    const y = (level: number) => top + (levels - level) * rowHeight;
    const labels = this.wordsUnder(placed, y(0));
    const height = y(0) + labels.height;
    const said = lines
      .slice(0, 4)
      .map(
        (l) =>
          `layer ${l.layer}, ${data.token(l.from.text, l.from.token)} to ${data.token("tokens", l.to)}, ${signed(l.effect)}`,
      );
    const picture = svg("svg", {
      ...{ width, height, viewBox: `0 0 ${width} ${height}`, role: "img" },
      "aria-label": `Messages that shaped the prediction of ${data.target(token)}, strongest first: ${said.join("; ")}`,
    });
    for (let level = 0; level <= levels; level++) {
      if (levels > 24 && level % 4 !== 0) continue;
      const name = isNarrow
        ? level === 0
          ? "in"
          : `${level}`
        : level === 0
          ? "embedding"
          : `after layer ${level}`;
      picture.append(
        svg("line", { class: "hair", x1: left, x2: width - 2, y1: y(level), y2: y(level) }),
        svg("text", { class: "quiet", x: 0, y: y(level) + 4 }, name),
      );
    }
    this.drawStreams(picture, placed, y);
    const views: Views = new Map();
    const strongest = Math.abs(lines[0]?.effect ?? 1);
    const xOf = new Map(placed.columns.map((c) => [`${c.text}${c.token}`, c.x]));
    const targets: SVGElement[] = [];
    for (const line of [...lines].reverse()) {
      const [x1, x2] = [xOf.get(line.from.text + line.from.token)!, xOf.get(`tokens${line.to}`)!];
      const curve = new Curve(x1, y(line.layer - 1), x2, y(line.layer), rowHeight);
      const path = svg("path", {
        class: `line ${wayOf(line.effect)}${line.messages.some((m) => m.isMeasured) ? "" : " estimate"}`,
        d: curve.path,
        "stroke-width": lineWidth(line.effect, strongest).toFixed(2),
        opacity: (0.42 + 0.53 * Math.sqrt(Math.abs(line.effect) / strongest)).toFixed(2),
      });
      picture.append(path);
      views.set(line, { path, curve, label: undefined });
      targets.push(this.target(line, curve, views, picture));
    }
    this.drawNodes(picture, placed, y);
    this.drawMLPs(picture, xOf.get(`tokens${token}`)!, y, strongest, rowHeight);
    this.drawLineLabels(picture, lines, views, isNarrow ? 3 : 7);
    picture.append(
      ...labels.elements,
      ...this.prediction(xOf.get(`tokens${token}`)!, y(levels), width),
      ...targets,
    );
    box.replaceChildren(picture);
    return views;
  }

  /** The streams of the tokens that take part, as far up as something is read from them. */
  private drawStreams(picture: SVGElement, { columns, lines }: Placed, y: (level: number) => number): void {
    const { token } = this.selection.now;
    const { layers } = this.data.header;
    for (const column of columns) {
      const isTarget = column.text === "tokens" && column.token === token;
      const read = lines.filter((l) => l.from.text === column.text && l.from.token === column.token);
      const top = isTarget ? layers : Math.max(0, ...read.map(({ layer }) => layer - 1));
      const line = svg("line", {
        class: column.text === "source" ? "stream source" : "stream",
        ...{ x1: column.x, x2: column.x, y1: y(0), y2: y(top) - (isTarget ? 16 : 0) },
        "stroke-width": isTarget ? 2 : 1.25,
      });
      picture.append(line);
    }
  }

  private drawNodes(picture: SVGElement, { columns, lines }: Placed, y: (level: number) => number): void {
    const { token } = this.selection.now;
    for (const column of columns) {
      const isTarget = column.text === "tokens" && column.token === token;
      const levels = new Set([0]);
      for (const line of lines) {
        if (line.from.text === column.text && line.from.token === column.token) levels.add(line.layer - 1);
        if (column.text === "tokens" && line.to === column.token) levels.add(line.layer);
      }
      if (isTarget) for (let level = 0; level <= this.data.header.layers; level++) levels.add(level);
      for (const level of levels) {
        const radius = isTarget ? 3 : 2.75;
        picture.append(
          svg("circle", { class: isTarget ? "node target" : "node", cx: column.x, cy: y(level), r: radius }),
        );
      }
    }
  }

  private drawMLPs(
    picture: SVGElement,
    x: number,
    y: (level: number) => number,
    strongest: number,
    rowHeight: number,
  ): void {
    const { layers } = this.data.header;
    const values = this.data.numbersOf("mlps");
    for (let layer = 1; layer <= layers; layer++) {
      const value = values?.[this.selection.now.token * layers + layer - 1] ?? Number.NaN;
      if (!(Math.abs(value) > 0.08 * strongest)) continue;
      const r = 2.5 + 4.5 * Math.sqrt(Math.min(1, Math.abs(value) / strongest));
      const middle = (y(layer) + y(layer - 1)) / 2 - rowHeight * 0.24;
      const diamond = svg("path", {
        class: `mlp ${wayOf(value)}`,
        d: `M${x},${middle - r}l${r},${r}l${-r},${r}l${-r},${-r}z`,
      });
      tipOn(diamond, () => `MLP ${layer} here: ≈ ${signed(value)}`);
      picture.append(diamond);
    }
  }

  /** Names the heads of the strongest lines where there is room on the line. */
  private drawLineLabels(picture: SVGElement, lines: readonly Line[], views: Views, most: number): void {
    const taken: [x: number, y: number, width: number][] = [];
    let drawn = 0;
    for (const line of lines) {
      if (drawn === most || Math.abs(line.effect) < labelled * Math.abs(lines[0]!.effect)) break;
      const names = line.messages.map((m) => this.data.headName(m.attention, m.head));
      const also = names.slice(1).map((name) => name.replace(/^\w+ /, ""));
      const text =
        names.length > 3 ? `${names[0]} and ${names.length - 1} more` : [names[0], ...also].join(" + ");
      const width = widthOf(text, 11.5, 580) + 8;
      const view = views.get(line)!;
      const spot = [0.5, 0.36, 0.64, 0.25, 0.75]
        .map((at) => view.curve.at(at))
        .find(([x, y]) =>
          taken.every(([ox, oy, ow]) => Math.abs(ox - x) > (ow + width) / 2 + 3 || Math.abs(oy - y) > 15),
        );
      if (spot === undefined) continue;
      const [x, y] = spot;
      taken.push([x, y, width]);
      drawn++;
      const name = svg("text", { x, y: y + 4, "text-anchor": "middle" }, text);
      const back = svg("rect", { x: x - width / 2, y: y - 8, width, height: 16, rx: 3 });
      view.label = svg("g", { class: `line-label ${wayOf(line.effect)}` }, back, name);
      picture.append(view.label);
    }
  }

  /** The words under the columns, turned where they do not fit side by side. */
  private wordsUnder({ columns, spacing }: Placed, y: number): { elements: SVGElement[]; height: number } {
    const { data } = this;
    const { token } = this.selection.now;
    const words = columns.map((c) => fitted(data.token(c.text, c.token), 96, 13));
    const widest = Math.max(...words.map((word) => widthOf(word, 13, 600)));
    const isTurned = widest + 10 > spacing;
    const elements: SVGElement[] = [];
    columns.forEach((column, k) => {
      if (column.gap && spacing > 22) {
        const x = column.x - 0.725 * spacing;
        elements.push(svg("text", { class: "quiet", x, y: y + 23, "text-anchor": "middle" }, "⋯"));
      }
      if (spacing < 9 && k < columns.length - 1) return;
      const isTarget = column.text === "tokens" && column.token === token;
      const word = svg(
        "text",
        {
          class: `word${isTarget ? " target" : ""}${column.text === "source" ? " quiet" : ""}`,
          ...{ x: column.x, y: y + 23, "text-anchor": isTurned ? "end" : "middle" },
          transform: isTurned ? `rotate(-42 ${column.x} ${y + 17})` : undefined,
        },
        words[k]!,
      );
      const choose = () =>
        this.selection.set(column.text === "source" ? { source: column.token } : { token: column.token });
      word.addEventListener("click", choose);
      elements.push(word);
    });
    return { elements, height: isTurned ? Math.min(96, widest * 0.7 + 34) : 36 };
  }

  /** The predicted word on top of its stream. */
  private prediction(x: number, y: number, width: number): SVGElement[] {
    const t = this.selection.now.token;
    const word = fitted(this.data.target(t), 140, 13);
    const wide = widthOf(word, 13, 600) + 18;
    const middle = Math.max(wide / 2 + 48, Math.min(width - wide / 2 - 2, x));
    const p = percent(Math.exp(this.data.logProbability(t)));
    return [
      svg("rect", { class: "prediction", x: middle - wide / 2, y: y - 39, width: wide, height: 23, rx: 4 }),
      svg("text", { class: "prediction", x: middle, y: y - 23, "text-anchor": "middle" }, word),
      svg("text", { class: "quiet number", x: middle - wide / 2 - 8, y: y - 23, "text-anchor": "end" }, p),
    ];
  }

  /** What the pointer meets: wider than the line. */
  private target(line: Line, curve: Curve, views: Views, picture: SVGElement): SVGElement {
    const { data } = this;
    const target = svg("path", { class: "reach", d: curve.path });
    const names = line.messages.map((m) => data.headName(m.attention, m.head)).join(" + ");
    const [from, to] = [data.token(line.from.text, line.from.token), data.token("tokens", line.to)];
    tipOn(target, () => {
      highlight(views, picture, line);
      return `${names}: ${from} → ${to}, ${signed(line.effect)}`;
    });
    target.addEventListener("pointerleave", () => highlight(views, picture, undefined));
    target.addEventListener("click", () => {
      hideTip();
      const { attention, head } = line.messages[0]!;
      this.selection.set({ attention, head });
    });
    return target;
  }
}
