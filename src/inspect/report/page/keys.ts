import { byId } from "../../page/dom.ts";
import type { Themes } from "../../page/theme.ts";
import type { Data } from "./data.ts";
import { type Selection, shadings } from "./selection.ts";
import type { Texts } from "./text.ts";

/** One key an action; none where a modifier, a field or the dialog wants it. */
export function listenToKeys(data: Data, selection: Selection, texts: Texts, themes: Themes): void {
  const dialog = byId<HTMLDialogElement>("keys");
  byId("help").addEventListener("click", () => dialog.showModal());

  const move = (to: (now: number, last: number) => number) => {
    const text = texts.focused;
    const last = data.lengthOf(text) - 1;
    const { token, source } = selection.now;
    selection.set(text === "source" ? { source: to(source, last) } : { token: to(token, last) });
    texts.reveal();
  };
  const turn = (by: number, count: number, now: number) => (now + by + count) % count;
  const head = (by: number) => {
    const { attention, head } = selection.now;
    const heads = data.attention[attention]?.heads ?? 1;
    selection.set({ head: turn(by, heads, head - 1) + 1 });
  };
  const layer = (by: number) =>
    selection.set({ attention: turn(by, Math.max(1, data.attention.length), selection.now.attention) });

  const actions: Readonly<Record<string, () => void>> = {
    ArrowRight: () => move((now, last) => Math.min(last, now + 1)),
    ArrowLeft: () => move((now) => Math.max(0, now - 1)),
    Home: () => move(() => 0),
    End: () => move((_, last) => last),
    l: () => layer(1),
    L: () => layer(-1),
    h: () => head(1),
    H: () => head(-1),
    1: () => selection.set({ shading: shadings[0] }),
    2: () => selection.set({ shading: shadings[1] }),
    3: () => selection.set({ shading: shadings[2] }),
    m: () => selection.set({ measure: selection.now.measure === "weight" ? "message" : "weight" }),
    d: () => themes.toggle(),
    "?": () => dialog.showModal(),
  };
  addEventListener("keydown", (event) => {
    const isElsewhere = event.ctrlKey || event.metaKey || event.altKey || dialog.open;
    const action = actions[event.key];
    if (isElsewhere || action === undefined || (event.target as HTMLElement).matches?.("input")) return;
    event.preventDefault();
    action();
  });
}
