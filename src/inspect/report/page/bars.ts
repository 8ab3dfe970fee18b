import { byId, html } from "../../page/dom.ts";
import { percent } from "../../page/words.ts";
import type { Data } from "./data.ts";
import type { Selection } from "./selection.ts";

/** A row of a list of bars: a word, its length in [0, 1], a number. */
function bar(word: string, share: number, number: string, isHit: boolean): HTMLElement {
  const line = html("span", { class: "bar", "--share": Math.max(0.006, Number.isNaN(share) ? 0 : share) });
  return html(
    "li",
    isHit ? { class: "hit" } : {},
    html("span", { class: "word", title: word }, word),
    line,
    html("span", { class: "value number" }, number),
  );
}

/** The five best guesses and the true one. */
export function drawGuesses(data: Data, selection: Selection): void {
  const t = selection.now.token;
  const guesses = data.numbersOf("guesses");
  const probabilities = data.numbersOf("guesses.probability");
  const title = byId("guesses-title");
  const list = byId("guesses");
  if (!guesses || !probabilities) {
    title.replaceChildren();
    list.replaceChildren();
    return;
  }
  const way = data.header.reads === "same" ? "Predicted at " : "Predicted after ";
  title.replaceChildren(way, html("b", {}, data.token("tokens", t)));
  const count = guesses.length / data.length;
  const own = Math.exp(data.logProbability(t));
  const most = Math.max(probabilities[t * count]!, own || 0);
  let isSeen = false;
  const rows = Array.from({ length: Math.min(5, count) }, (_, k) => {
    const at = t * count + k;
    const isHit = guesses[at] === data.header.targets![t];
    isSeen ||= isHit;
    return bar(data.word(guesses[at]!), probabilities[at]! / most, percent(probabilities[at]!), isHit);
  });
  if (!isSeen && !Number.isNaN(own)) {
    const place = `⋯ ${data.rankText(data.header.layers, t)} of ${data.header.vocabSize.toLocaleString("en")}`;
    rows.push(
      html("li", { class: "gap" }, html("span", {}, place)),
      bar(data.target(t), own / most, percent(own), true),
    );
  }
  list.replaceChildren(...rows);
}

/** Probability of the target if the model stopped after each layer. */
export function drawLensBars(data: Data, selection: Selection): void {
  const t = selection.now.token;
  const target = data.numbersOf("lens.target");
  if (!target) return;
  byId("lens-title").replaceChildren("Probability of ", html("b", {}, data.target(t)), " if it stopped at");
  const at = (row: number) => target[row * data.length + t]!;
  const rows = Array.from({ length: data.header.layers + 1 }, (_, k) => data.header.layers - k);
  const most = Math.max(1e-12, ...rows.map((row) => at(row) || 0));
  byId("lens-bars").replaceChildren(
    ...rows.map((row) =>
      bar(
        row === 0 ? "embedding" : `layer ${row}`,
        at(row) / most,
        percent(at(row)),
        row === data.header.layers,
      ),
    ),
  );
}
