import { byId, html } from "../../page/dom.ts";
import { Themes } from "../../page/theme.ts";
import { hideTip } from "../../page/tip.ts";
import { drawGuesses, drawLensBars } from "./bars.ts";
import { Data } from "./data.ts";
import { drawFinding } from "./finding.ts";
import { Graph } from "./graph.ts";
import { Heads } from "./heads.ts";
import { listenToKeys } from "./keys.ts";
import { drawLens } from "./lens.ts";
import { Loudness } from "./loudness.ts";
import { HeadMap } from "./map.ts";
import { Selection, type Sight } from "./selection.ts";
import { Texts } from "./text.ts";

async function open(): Promise<void> {
  const data = await Data.read();
  const given = new URLSearchParams(location.hash.slice(1)).get("theme");
  const themes: Themes = new Themes(byId("theme"), given, () => {
    heads.paint();
    draw();
    selection.remember();
  });
  const selection = new Selection(
    data,
    (before) => draw(before),
    () => themes.chosen,
  );
  const texts = new Texts(data, selection);
  const graph = new Graph(data, selection);
  const heads = new Heads(data, selection);
  const map = new HeadMap(data, selection);
  const loudness = new Loudness(data, selection);

  /** All views, or those that a change touches. */
  function draw(before?: Sight): void {
    hideTip();
    const { now } = selection;
    const changed = (...names: (keyof Sight)[]) =>
      !before || names.some((name) => before[name] !== now[name]);
    texts.draw();
    if (changed("token")) {
      drawFinding(data, selection);
      drawGuesses(data, selection);
      drawLens(data, selection);
      drawLensBars(data, selection);
    }
    if (changed("token", "count")) graph.draw();
    if (changed("token", "attention", "head")) heads.draw();
    if (changed("token", "source", "attention", "head", "measure")) map.draw();
    if (changed("token", "source")) loudness.draw();
  }

  byId("facts").replaceChildren(
    ...[data.header.title, ...data.header.facts].map((fact) => html("li", {}, fact)),
  );
  byId("notes").replaceChildren(...data.header.notes.map((note) => html("p", {}, note)));
  listenToKeys(data, selection, texts, themes);
  heads.paint();
  draw();
  let width = innerWidth;
  let frame = 0;
  addEventListener("resize", () => {
    if (innerWidth === width || document.body.clientWidth === 0) return;
    width = innerWidth;
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => draw());
  });
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}

void open();
