import { svg, widthOf } from "../../page/dom.ts";
import { tipOn } from "../../page/tip.ts";
import type { Point } from "../history.ts";

export interface Line {
  readonly points: readonly Point[];
  /** "training", "up", "down", "rest": its color. */
  readonly kind: string;
  /** Said at its end, with its last value; lines without one are background. */
  readonly name?: string;
  /** Whether each point is marked: it was measured there and nowhere between. */
  readonly isMarked?: boolean;
  /** A point that is marked as the best. */
  readonly best?: Point;
}

export interface ChartOptions {
  readonly height: number;
  readonly maxStep: number;
  readonly isLog?: boolean;
  /** The lowest and highest value; default those of the data. */
  readonly range?: readonly [number, number];
  readonly format: (value: number) => string;
  /** Of the numbers at the axis; default `format`. */
  readonly axis?: (value: number) => string;
  /** One sentence: what there is to see. */
  readonly said: string;
  /** Low and high around a line, behind all. */
  readonly band?: readonly (readonly [step: number, low: number, high: number])[];
}

const left = 44;
const bottom = 24;
const top = 14;

/** Round numbers that divide a range into at most `count` parts. */
export function roundTicks(low: number, high: number, count: number): number[] {
  const raw = (high - low) / Math.max(1, count) || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((s) => s >= raw * 0.999)!;
  const ticks: number[] = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++)
    ticks.push(Number((k * step).toPrecision(12)));
  return ticks;
}

const powers = (high: number): number[] =>
  Array.from({ length: Math.ceil(Math.log10(Math.max(10, high))) + 1 }, (_, e) => 10 ** e).filter(
    (v) => v <= high,
  );

const finite = (points: readonly Point[]): Point[] => points.filter(([, value]) => Number.isFinite(value));

/** Draws lines over steps into `box`: axes from the data, names at the ends of lines, the values under the pointer. */
export function drawChart(box: HTMLElement, lines: readonly Line[], options: ChartOptions): void {
  const { height, maxStep, isLog = false, format, axis = format, band = [] } = options;
  const width = box.clientWidth;
  const named = lines.filter(({ name, points }) => name !== undefined && finite(points).length > 0);
  const endings = named.map((line) => `${line.name} ${format(finite(line.points).at(-1)![1])}`);
  const right = Math.min(width * 0.4, Math.max(24, ...endings.map((text) => widthOf(text, 12, 600) + 14)));
  const [low, high] = options.range ?? rangeOf(lines, band);
  const across = (step: number) => (isLog ? Math.log10(1 + step) / Math.log10(1 + maxStep) : step / maxStep);
  const x = (step: number) => left + (width - left - right) * Math.min(1, across(step));
  const y = (value: number) =>
    height - bottom - ((Math.max(low, Math.min(high, value)) - low) / (high - low)) * (height - bottom - top);
  const picture = svg("svg", {
    ...{ width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": options.said },
  });

  for (const tick of roundTicks(low, high, Math.floor(height / 32))) {
    picture.append(
      svg("line", { class: "hair", x1: left, x2: width - right, y1: y(tick), y2: y(tick) }),
      svg("text", { class: "quiet number", x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, axis(tick)),
    );
  }
  const steps = isLog
    ? powers(maxStep)
    : roundTicks(0, maxStep, Math.max(2, Math.floor((width - left - right) / 90)));
  for (const step of steps) {
    const text = step.toLocaleString("en");
    picture.append(
      svg("text", { class: "quiet number", x: x(step), y: height - 4, "text-anchor": "middle" }, text),
    );
  }
  if (band.length > 1) {
    const upper = band.map(([step, , most]) => `${x(step).toFixed(1)},${y(most).toFixed(1)}`);
    const lower = band.map(([step, least]) => `${x(step).toFixed(1)},${y(least).toFixed(1)}`).reverse();
    picture.append(svg("path", { class: "band", d: `M${[...upper, ...lower].join("L")}Z` }));
  }
  for (const line of lines) drawLine(picture, line, x, y);
  const ends = spread(
    named.map(({ points }) => y(finite(points).at(-1)![1]) + 4),
    height - bottom + 4,
  );
  named.forEach(({ kind }, k) => {
    picture.append(
      svg("text", { class: `end ${kind} number`, x: width - right + 8, y: ends[k]! }, endings[k]!),
    );
  });
  if (named.length > 0)
    addReader(picture, named, { x, height, maxStep, format, from: left, to: width - right });
  box.replaceChildren(picture);
}

/** Places for labels near where they belong: in their order, a line apart, none below `lowest`. */
export function spread(wanted: readonly number[], lowest: number): number[] {
  const apart = 15;
  const order = [...wanted.keys()].sort((a, b) => wanted[a]! - wanted[b]!);
  const places = [...wanted];
  order.forEach((k, place) => {
    if (place > 0) places[k] = Math.max(places[k]!, places[order[place - 1]!]! + apart);
  });
  order.reverse().forEach((k, place) => {
    places[k] = Math.min(places[k]!, place === 0 ? lowest : places[order[place - 1]!]! - apart);
  });
  return places;
}

function rangeOf(lines: readonly Line[], band: NonNullable<ChartOptions["band"]>): [number, number] {
  const values = [
    ...lines.flatMap(({ points }) => finite(points).map(([, v]) => v)),
    ...band.flatMap(([, a, b]) => [a, b]),
  ];
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (!(low < high)) return Number.isFinite(low) ? [low - 0.5, low + 0.5] : [0, 1];
  const room = (high - low) * 0.04;
  return [low - room, high + room];
}

type Scale = (value: number) => number;

function drawLine(picture: SVGElement, line: Line, x: Scale, y: Scale): void {
  const points = finite(line.points);
  if (points.length === 0) return;
  const at = ([step, value]: Point) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`;
  picture.append(svg("path", { class: `series ${line.kind}`, d: `M${points.map(at).join("L")}` }));
  const room = x(points.at(-1)![0]) - x(points[0]![0]);
  const marked = points.length === 1 || (line.isMarked && room > 11 * points.length) ? points : [];
  for (const [step, value] of marked) {
    const isBest = line.best?.[0] === step;
    const mark = svg("circle", {
      class: `mark ${line.kind}${isBest ? " best" : ""}`,
      cx: x(step),
      cy: y(value),
      r: isBest ? 4 : 2.6,
    });
    picture.append(mark);
  }
  if (line.best && !marked.some(([step]) => step === line.best![0])) {
    picture.append(
      svg("circle", { class: `mark best ${line.kind}`, cx: x(line.best[0]), cy: y(line.best[1]), r: 4 }),
    );
  }
}

interface Reading {
  readonly x: Scale;
  readonly height: number;
  readonly maxStep: number;
  readonly format: (value: number) => string;
  readonly from: number;
  readonly to: number;
}

/** A line under the pointer and the values of all named lines there. */
function addReader(
  picture: SVGElement,
  lines: readonly Line[],
  { x, height, format, from, to }: Reading,
): void {
  const hand = svg("line", { class: "hand", y1: top, y2: height - bottom });
  const reach = svg("rect", {
    x: from,
    y: 0,
    width: Math.max(0, to - from),
    height: height - bottom,
    fill: "transparent",
  });
  tipOn(reach, (event) => {
    const pointer = event.clientX - picture.getBoundingClientRect().left;
    const nearest = lines.map((line) =>
      finite(line.points).reduce((a, b) =>
        Math.abs(x(b[0]) - pointer) < Math.abs(x(a[0]) - pointer) ? b : a,
      ),
    );
    const [step] = nearest.reduce((a, b) =>
      Math.abs(x(b[0]) - pointer) < Math.abs(x(a[0]) - pointer) ? b : a,
    );
    for (const end of ["x1", "x2"]) hand.setAttribute(end, String(x(step)));
    hand.style.visibility = "visible";
    return `step ${step.toLocaleString("en")} · ${lines.map((line, k) => `${line.name} ${format(nearest[k]![1])}`).join(" · ")}`;
  });
  reach.addEventListener("pointerleave", () => {
    hand.style.visibility = "hidden";
  });
  picture.append(hand, reach);
}
