import { byId, html } from "../../page/dom.ts";
import { signed } from "../../page/words.ts";
import type { Message } from "../header.ts";
import { highlight, type Views } from "./curve.ts";
import type { Data } from "./data.ts";
import type { Selection } from "./selection.ts";

const listed = 9;
const wayOf = (effect: number) => (effect < 0 ? "down" : "up");

/** The same as buttons: what the picture shows, without it. */
export function drawMessageList(
  messages: readonly Message[],
  picture: SVGElement,
  views: Views,
  { data, selection }: { data: Data; selection: Selection },
): void {
  const lines = [...views.keys()];
  const strongest = Math.abs(messages[0]!.effect) || 1;
  const items = messages.slice(0, listed).map((m) => {
    const { of, from } = data.attention[m.attention]!;
    const share = Math.max(0.04, Math.abs(m.effect) / strongest);
    const button = html(
      "button",
      { class: wayOf(m.effect) },
      html("span", { class: "head number" }, data.headName(m.attention, m.head)),
      html(
        "span",
        { class: "route" },
        data.token(from, m.from),
        html("span", { class: "arrow" }, "→"),
        data.token(of, m.to),
      ),
      html("span", { class: "bar", "--share": share }),
      html("span", { class: "value number" }, `${m.isMeasured ? "" : "≈"}${signed(m.effect)}`),
    );
    button.addEventListener("click", () => selection.set({ attention: m.attention, head: m.head }));
    const line = lines.find((l) => l.messages.includes(m));
    const on = () => highlight(views, picture, line);
    const off = () => highlight(views, picture, undefined);
    for (const event of ["pointerenter", "focus"]) button.addEventListener(event, on);
    for (const event of ["pointerleave", "blur"]) button.addEventListener(event, off);
    return html("li", {}, button);
  });
  byId("messages").replaceChildren(...items);
}
