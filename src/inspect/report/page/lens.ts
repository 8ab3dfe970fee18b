import { css, inkOn, shade } from "../../page/color.ts";
import { byId, html } from "../../page/dom.ts";
import { tipOn } from "../../page/tip.ts";
import { percent } from "../../page/words.ts";
import type { Data } from "./data.ts";
import type { Selection } from "./selection.ts";

/** The word that the model would say after each layer, around the chosen token. */
export function drawLens(data: Data, selection: Selection): void {
  const guess = data.numbersOf("lens.guess");
  const probability = data.numbersOf("lens.probability");
  const target = data.numbersOf("lens.target");
  byId("lens-section").hidden = guess === undefined;
  if (!guess || !probability || !target) return;
  const { token } = selection.now;
  const { reads, targets, layers } = data.header;
  const box = byId("lens");
  const isNarrow = box.clientWidth < 520;
  const columns = Math.max(
    3,
    Math.min(data.length, Math.floor((box.clientWidth - 90) / (isNarrow ? 62 : 78))),
  );
  const first = Math.max(0, Math.min(data.length - columns, token - Math.floor(columns * 0.7)));
  const shown = Array.from({ length: Math.min(columns, data.length) }, (_, k) => first + k);
  const selected = (t: number) => (t === token ? { class: "selected" } : {});
  const row = (name: string, kind: string, cells: HTMLElement[]) =>
    html("tr", { class: kind }, html("th", { scope: "row" }, name), ...cells);

  const came = shown.map((t) => html("th", { scope: "col" }, data.isKnown(t) ? data.target(t) : "…"));
  const table = html(
    "table",
    {},
    html("caption", { class: "unseen" }, "Best guess after each layer, by token"),
  );
  table.append(
    html("thead", {}, row(reads === "same" ? "is" : isNarrow ? "next" : "came next", "came", came)),
  );
  const body = html("tbody");
  for (let level = layers; level >= 0; level--) {
    const cells = shown.map((t) => {
      const at = level * data.length + t;
      const word = data.word(guess[at]!);
      const color = shade("up", Math.sqrt(probability[at]!) * 0.78);
      const isRight = data.isKnown(t) && guess[at] === targets![t];
      const cell = html("td", { class: `${isRight ? "right" : ""}${t === token ? " selected" : ""}` }, word);
      cell.style.backgroundColor = css(color);
      cell.style.color = inkOn(color);
      const actual = data.isKnown(t)
        ? `; “${data.target(t)}” ${percent(target[at]!)}, ${data.rankText(level, t)}`
        : "";
      tipOn(
        cell,
        () =>
          `after ${level === 0 ? "the embedding" : `layer ${level}`}: “${word}” ${percent(probability[at]!)}${actual}`,
      );
      cell.addEventListener("click", () => selection.set({ token: t }));
      return cell;
    });
    const name = level === 0 ? (isNarrow ? "in" : "embedding") : `${isNarrow ? "" : "layer "}${level}`;
    body.append(row(name, "", cells));
  }
  const read = shown.map((t) => html("th", { scope: "col", ...selected(t) }, data.token("tokens", t)));
  table.append(body, html("tfoot", {}, row("read", "read", read)));
  box.replaceChildren(table);
}
