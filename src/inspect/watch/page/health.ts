import { css, shade } from "../../page/color.ts";
import { byId, html } from "../../page/dom.ts";
import { tipOn } from "../../page/tip.ts";
import { brief, percent } from "../../page/words.ts";
import type { History, LayerRow } from "../history.ts";

const median = (values: readonly number[]): number => {
  const sorted = values.filter((v) => v > 0).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
};

/** Looks at the newest rows that have a say, and at how many before. */
const recent = 5;
const usual = 15;
/** Times its usual size at which a gradient is called off. */
const much = 10;

/** What is off, in sentences; nothing is nothing. */
export function findings(history: History): string[] {
  const { rows, begin } = history;
  const found: string[] = [];
  const layers = begin?.layers ?? [];
  layers.forEach((layer, k) => {
    const values = rows.map(({ gradients }) => gradients[k]!);
    const bad = values.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) {
      found.push(`The gradient of ${layer} was no number at step ${rows[bad]!.step.toLocaleString("en")}.`);
      return;
    }
    if (values.length < usual + recent) return;
    const before = median(values.slice(0, -recent));
    const now = median(values.slice(-recent));
    const times = now / before;
    if (times < much && times > 1 / much) return;
    let since = values.length - recent;
    while (
      since > usual &&
      (times > 1 ? values[since - 1]! > (before * much) / 2 : values[since - 1]! < (before / much) * 2)
    )
      since--;
    const size =
      times > 1 ? `${Math.round(times)}× its usual size` : `1/${Math.round(1 / times)} of its usual size`;
    found.push(`The gradient of ${layer} is ${size} since step ${rows[since]!.step.toLocaleString("en")}.`);
  });
  layers.forEach((layer, k) => {
    const ratio = median(rows.slice(-recent).map(({ ratios }) => ratios[k]!));
    if (rows.length >= recent && ratio > 0.1)
      found.push(
        `An update moves ${layer} by ${percent(ratio)} of its length: the learning rate may be too high.`,
      );
  });
  return found;
}

/** The share of logged updates whose gradient was clipped; undefined where none can be. */
export function clipRate(history: History): number | undefined {
  const limit = history.begin?.maxGradNorm ?? 0;
  const norms = history.series("grad_norm");
  return limit > 0 && norms.length > 0
    ? norms.filter(([, norm]) => norm > limit).length / norms.length
    : undefined;
}

const columns = 400;

/** Length of the gradient of each layer over time, layers from bottom to top, darker for longer. */
export function drawHealth(history: History): void {
  const { rows, begin } = history;
  byId("health-section").hidden = rows.length === 0 || begin === undefined;
  if (rows.length === 0 || begin === undefined) return;
  const found = findings(history);
  byId("findings").replaceChildren(
    ...(found.length > 0
      ? found.map((text) => html("li", {}, text))
      : [html("li", { class: "fine" }, "Nothing is out of the ordinary.")]),
  );
  const clipped = clipRate(history);
  byId("health-lead").textContent =
    `Length of the gradient of each layer over time; further from the page is longer, on a logarithmic scale. Beside it, its last length and how far an update moves the layer’s largest matrix, relative to its length.${
      clipped === undefined
        ? ""
        : ` ${percent(clipped)} of the logged updates were clipped to ${brief(begin.maxGradNorm)}.`
    }`;
  const logs = rows.flatMap(({ gradients }) =>
    gradients.filter((v) => v > 0 && v < Infinity).map(Math.log10),
  );
  const low = logs.reduce((a, b) => Math.min(a, b), Infinity);
  const high = logs.reduce((a, b) => Math.max(a, b), -Infinity);
  const share = (value: number) =>
    value > 0 ? 0.06 + 0.94 * ((Math.log10(value) - low) / (high - low || 1)) ** 1.5 : 0;
  const strip = html("div", { class: "strip number" });
  for (let k = begin.layers.length - 1; k >= 0; k--) strip.append(...row(begin.layers[k]!, k, rows, share));
  const steps = [rows[0]!.step, rows.at(-1)!.step].map((step) => html("span", {}, step.toLocaleString("en")));
  strip.append(html("div", { class: "axis" }, ...steps));
  byId("health").replaceChildren(strip);
}

function row(
  layer: string,
  k: number,
  rows: readonly LayerRow[],
  share: (value: number) => number,
): HTMLElement[] {
  const count = Math.min(columns, rows.length);
  const stretch = (c: number) =>
    rows.slice(Math.floor((c * rows.length) / count), Math.floor(((c + 1) * rows.length) / count));
  const values = Array.from({ length: count }, (_, c) =>
    Math.max(...stretch(c).map(({ gradients }) => gradients[k]!)),
  );
  const last = rows.at(-1)!;
  const said = `Gradient of ${layer}: first ${brief(values[0]!)}, largest ${brief(Math.max(...values))}, last ${brief(last.gradients[k]!)}`;
  const canvas = html("canvas", { width: count, height: 1, role: "img", "aria-label": said });
  const context = canvas.getContext("2d")!;
  values.forEach((value, c) => {
    context.fillStyle = css(shade("down", share(value)));
    context.fillRect(c, 0, 1, 1);
  });
  tipOn(canvas, (event) => {
    const box = canvas.getBoundingClientRect();
    const c = Math.max(0, Math.min(count - 1, Math.floor(((event.clientX - box.left) / box.width) * count)));
    return `${layer}, step ${stretch(c).at(-1)!.step.toLocaleString("en")}: ${brief(values[c]!)}`;
  });
  const now = html("span", {}, "now ", html("b", {}, brief(last.gradients[k]!)));
  const ratio = html("span", { class: "ratio" }, `moves ${last.ratios[k]!.toExponential(0)}`);
  return [html("span", {}, layer), canvas, now, ratio];
}
