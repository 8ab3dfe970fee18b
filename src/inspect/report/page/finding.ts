import { byId, html } from "../../page/dom.ts";
import { harmless, ordinal, percent, plural, signed } from "../../page/words.ts";
import type { Data } from "./data.ts";
import type { Selection } from "./selection.ts";

const quoted = (text: string): HTMLElement => html("q", {}, text);

/** One sentence that says what was found: what came, how likely it was, and which head decided it. */
export function drawFinding(data: Data, selection: Selection): void {
  const box = byId("finding");
  const t = selection.now.token;
  if (data.header.targets === undefined) {
    box.replaceChildren(
      "This model predicts no words; its attention and the loudness of its parts are below.",
    );
    return;
  }
  box.replaceChildren(...expectation(data, t), ...decision(data, selection));
}

type Piece = Node | string;

function expectation(data: Data, t: number): Piece[] {
  const p = percent(Math.exp(data.logProbability(t)));
  const rank = data.rank(t);
  const choice =
    rank === undefined ? "" : rank === 1 ? ", its first choice" : `, its ${ordinal(rank)} choice`;
  if (data.header.reads === "same") {
    return [
      "At ",
      quoted(data.token("tokens", t)),
      " the model gave ",
      quoted(data.target(t)),
      " ",
      html("b", {}, p),
      `${choice}. `,
    ];
  }
  const before = contextOf(data, t);
  if (!data.isKnown(t)) {
    return [
      "After ",
      quoted(before),
      " the text ends; the best guess is ",
      quoted(data.target(t)),
      ", at ",
      html("b", {}, p),
      ". ",
    ];
  }
  return [
    "After ",
    quoted(before),
    " came ",
    quoted(data.target(t)),
    ". The model gave it ",
    html("b", {}, p),
    `${choice}. `,
  ];
}

/** Tokens and characters, at least, of what a prediction is said to come after. */
const contextTokens = 3;
const contextCharacters = 8;

/** The text up to token t, shortened from the left; a space at its end shows. */
function contextOf(data: Data, t: number): string {
  let [start, text] = [t + 1, ""];
  while (start > 0 && (t + 1 - start < contextTokens || text.trim().length < contextCharacters)) {
    start--;
    text = harmless(data.string(data.header.tokens[start]!)) + text;
  }
  const context = text
    .replace(/\s+/g, " ")
    .replace(/^[\s\p{P}]+(?=.*[\p{L}\p{N}])/u, "")
    .replace(/ $/, "␣");
  return `${start > 0 ? "…" : ""}${[...context].slice(-40).join("")}`;
}

/** log(p / (1 - p)) from log p. */
const logOdds = (logP: number): number => logP - Math.log(Math.max(1e-6, -Math.expm1(logP)));

function decision(data: Data, selection: Selection): Piece[] {
  const t = selection.now.token;
  let best = { attention: -1, head: 0, effect: -Infinity };
  let missing = 0;
  data.attention.forEach(({ heads }, attention) => {
    for (let head = 1; head <= heads; head++) {
      const effect = data.headEffect(attention, head, t);
      if (Number.isNaN(effect)) missing++;
      if (effect > best.effect) best = { attention, head, effect };
    }
  });
  if (best.attention < 0) return ["The effect of single heads was not measured here."];
  const { attention, head, effect } = best;
  const name = data.headName(attention, head);
  const among = missing > 0 ? " of those that were measured" : "";
  if (effect < 0.25)
    return [
      `No single head decides this: the most helpful${among}, ${name}, is worth ${signed(effect)} of log-odds.`,
    ];
  const link = html("button", {}, name);
  link.addEventListener("click", () => selection.set({ attention, head }));
  const left = percent(1 / (1 + Math.exp(effect - logOdds(data.logProbability(t)))));
  return [
    "Silencing head ",
    link,
    " alone would cut that to ",
    html("b", { class: "down" }, left),
    ...habit(data, t, attention, head),
  ];
}

/** What the deciding head did: its strongest message, or what it reads from here. */
function habit(data: Data, t: number, attention: number, head: number): Piece[] {
  const { of, from } = data.attention[attention]!;
  const message = data.messages[t]?.find((m) => m.attention === attention && m.head === head);
  if (message && of === "tokens" && message.to !== t) {
    const way = message.to < t ? "before" : "after";
    const reader = quoted(data.token(of, message.to));
    const isOwn = from === of && message.from === message.to;
    const course = isOwn
      ? ["; its main message was of ", reader, " to itself"]
      : ["; its main message went from ", quoted(data.token(from, message.from)), " to ", reader];
    return [...course, `, ${plural(Math.abs(t - message.to), "token")} ${way} this point.`];
  }
  if (of === "source") return ["."];
  const row = data.weights[attention]![head - 1]!.row(t);
  const most = row.indexOf(Math.max(...row));
  if (row[most]! < 0.15) return ["; it spreads its attention widely."];
  const where =
    from === "source"
      ? " of the source"
      : most === t
        ? " itself"
        : ` ${plural(Math.abs(t - most), "token")} ${most < t ? "back" : "ahead"}`;
  return [
    "; from here it reads mostly ",
    quoted(data.token(from, most)),
    `${where} (${percent(row[most]!)} of its attention).`,
  ];
}
