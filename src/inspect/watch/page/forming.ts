import { byId } from "../../page/dom.ts";
import { harmless } from "../../page/words.ts";
import type { History, Point } from "../history.ts";
import { drawChart, type Line } from "./chart.ts";

const share = (value: number): string => `${Math.round(value * 100)}%`;
/** Heads that are named, and from which share on. */
const named = 3;
const habit = 0.15;

/** Each line is a head: how much of its attention goes to one kind of place on the probe, at each evaluation. */
export function drawForming(history: History): void {
  const { probes } = history;
  const hasHeads = probes.some(({ heads }) => heads.length > 0);
  byId("forming-section").hidden = !hasHeads;
  if (!hasHeads) return;
  const probe = history.begin?.probe;
  byId("forming-lead").textContent =
    `The probe${probe === undefined ? "" : `, “${harmless(probe)}”,`} is traced at every evaluation. Each line is a head: how much of its attention goes to the token before, and to the token after an earlier copy of the current one, which is how a model learns to repeat.`;
  drawShares(history, 2, "previous", "the token before");
  drawShares(history, 3, "after-copy", "the token after an earlier copy");
}

function drawShares(history: History, column: 2 | 3, box: string, place: string): void {
  const heads = new Map<string, Point[]>();
  for (const { step, heads: found } of history.probes) {
    for (const head of found) {
      const name = `head ${head[0]}.${head[1]}`;
      heads.set(name, [...(heads.get(name) ?? []), [step, head[column]]]);
    }
  }
  const ends = [...heads].sort(([, a], [, b]) => b.at(-1)![1] - a.at(-1)![1]);
  const lines = ends.map(([name, points], k): Line => {
    const isNamed = k < named && points.at(-1)![1] > habit;
    return isNamed ? { points, kind: "up", name } : { points, kind: "rest" };
  });
  const top = ends[0]!;
  drawChart(byId(box), lines.reverse(), {
    height: 210,
    maxStep: Math.max(1, history.step),
    range: [0, 1],
    format: share,
    said: `Share of attention on ${place}, by head; the most: ${top[0]}, ${share(top[1].at(-1)![1])}`,
  });
}
