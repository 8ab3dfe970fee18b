import { byId, html } from "../../page/dom.ts";
import { brief } from "../../page/words.ts";
import type { History, Point } from "../history.ts";
import { drawChart, type Line } from "./chart.ts";

const two = (value: number): string => value.toFixed(2);

/** For each stretch of steps: its lowest, its median and its highest value. */
export function stretches(
  points: readonly Point[],
  count: number,
): { step: number; low: number; middle: number; high: number }[] {
  const all = points.filter(([, value]) => Number.isFinite(value));
  const n = Math.min(count, all.length);
  return Array.from({ length: n }, (_, k) => {
    const part = all.slice(Math.floor((k * all.length) / n), Math.floor(((k + 1) * all.length) / n));
    const values = part.map(([, value]) => value).sort((a, b) => a - b);
    const middle = values[Math.floor(values.length / 2)]!;
    return { step: part[Math.floor(part.length / 2)]![0], low: values[0]!, middle, high: values.at(-1)! };
  });
}

/** A running median over `span` values to each side. */
function calm(points: readonly Point[], span: number): Point[] {
  return points.map(([step], k) => {
    const near = points.slice(Math.max(0, k - span), k + span + 1).map(([, value]) => value);
    return [step, near.sort((a, b) => a - b)[Math.floor(near.length / 2)]!];
  });
}

export const bestOf = (points: readonly Point[]): Point | undefined =>
  points
    .filter(([, v]) => Number.isFinite(v))
    .reduce<Point | undefined>((a, b) => (a && a[1] <= b[1] ? a : b), undefined);

/** Loss on the batches it trains on, on held-out text and on the probe. */
export function drawLearning(history: History, isLog: boolean): void {
  const box = byId("learning");
  const parts = stretches(history.series("loss"), Math.max(40, Math.floor(box.clientWidth / 6)));
  const middle = parts.map(({ step, middle }): Point => [step, middle]);
  const last = history.series("loss").at(-1);
  const training = calm(middle, Math.max(1, Math.floor(middle.length / 60)));
  if (last && training.length > 0) training[training.length - 1] = [last[0], training.at(-1)![1]];
  const heldOut = history.series("eval_loss");
  const best = bestOf(heldOut);
  const probes = history.probes.flatMap(({ step, loss }): Point[] =>
    loss === undefined ? [] : [[step, Number(loss)]],
  );
  const lines: Line[] = [
    { points: training, kind: "training", name: "training" },
    { points: heldOut, kind: "up", name: "held-out", isMarked: true, ...(best && { best }) },
    { points: probes, kind: "down", name: "probe", isMarked: true },
  ].filter(({ points }) => points.length > 0);
  const said = lines.map(
    ({ name, points }) => `${name} from ${two(points[0]![1])} to ${two(points.at(-1)![1])}`,
  );
  drawChart(box, lines, {
    height: 280,
    maxStep: Math.max(1, history.step),
    isLog,
    format: two,
    axis: brief,
    said: said.length > 0 ? `Loss: ${said.join("; ")}` : "No loss was logged yet",
    band: parts.map(({ step, low, high }) => [step, low, high]),
  });
  byId("learning-lead").replaceChildren(
    "Loss on the batches it trains on (band: lowest to highest, line: median)",
    ...(heldOut.length > 0 && best
      ? [
          " and on held-out text, where it was best, ",
          html("b", {}, two(best[1])),
          `, at step ${best[0].toLocaleString("en")}`,
        ]
      : []),
    probes.length > 0 ? "; of the probe, where it is said again." : ".",
  );
}
