import { byId, html } from "../../page/dom.ts";
import { brief } from "../../page/words.ts";
import type { History } from "../history.ts";
import { stretches } from "./learning.ts";

export type Connection = "open" | "lost" | "none";
/** Seconds without a line after which a run is said to be silent. */
const silence = 40;

/** "3 h 20 min", "40 s" */
export function duration(seconds: number): string {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.round(hours / 24)} days`;
}

/** Live, finished, stopped before its last step, or since when there is no news. */
export function drawState(history: History, connection: Connection, now = Date.now() / 1000): void {
  const state = byId("state");
  const quiet = now - history.time;
  const [text, kind] =
    history.end !== undefined
      ? [history.step < (history.begin?.maxSteps ?? 0) ? "stopped" : "finished", ""]
      : connection === "lost"
        ? ["no connection", "silent"]
        : history.begin === undefined
          ? ["nothing yet", ""]
          : quiet > silence
            ? [`no news for ${duration(quiet)}`, "silent"]
            : connection === "none"
              ? ["ended early", "silent"]
              : ["live", "live"];
  if (state.textContent !== text) state.textContent = text!;
  state.className = `state ${kind}`;
}

export function drawHead(history: History): void {
  const { begin } = history;
  byId("facts").replaceChildren(
    ...(begin ? [begin.title, ...begin.facts] : []).map((fact) => html("li", {}, fact)),
  );
  const loss = stretches(history.series("loss").slice(-20), 1)[0]?.middle;
  const figures: (readonly [string, string] | undefined)[] = [
    [history.step.toLocaleString("en"), begin ? `of ${begin.maxSteps.toLocaleString("en")} steps` : "steps"],
    remaining(history),
    figure(
      history.latest("tokens_per_second") ?? history.latest("train_tokens_per_second"),
      "tokens a second",
    ),
    figure(loss, "training loss"),
    figure(history.latest("eval_loss"), "held-out loss"),
    figure(history.probes.at(-1)?.loss, "probe loss"),
  ];
  byId("figures").replaceChildren(
    ...figures.flatMap((f) => (f ? [html("div", {}, html("dt", {}, f[1]), html("dd", {}, f[0]))] : [])),
  );
}

const figure = (value: number | string | undefined, name: string): readonly [string, string] | undefined =>
  value === undefined
    ? undefined
    : [Math.abs(Number(value)) < 100 ? Number(value).toFixed(2) : brief(Number(value)), name];

/** By the pace since this process began. */
function remaining({ begin, end, time, step }: History): readonly [string, string] | undefined {
  if (begin === undefined) return undefined;
  if (end !== undefined) return [duration(end.time - begin.time), "in all"];
  const done = step - begin.step;
  if (done <= 0 || time <= begin.time) return undefined;
  return [duration(((begin.maxSteps - step) * (time - begin.time)) / done), "to go"];
}
