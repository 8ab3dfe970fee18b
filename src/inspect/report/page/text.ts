import { css, inkOn, shade } from "../../page/color.ts";
import { byId, choice, html } from "../../page/dom.ts";
import { tipOn } from "../../page/tip.ts";
import { harmless, percent, signed } from "../../page/words.ts";
import type { Text } from "../header.ts";
import type { Data } from "./data.ts";
import type { Selection, Shading } from "./selection.ts";

/** Tokens from which on a text scrolls in a box of its own, in blocks that are laid out when they are seen. */
const long = 400;
const block = 256;

/** The texts themselves, shaded by surprise, by influence on one prediction, or by what one head reads. */
export class Texts {
  private readonly data: Data;
  private readonly selection: Selection;
  private readonly options: Record<Text, HTMLElement[]> = { tokens: [], source: [] };
  private readonly boxes: Partial<Record<Text, HTMLElement>> = {};
  private readonly press: (current: Shading) => void;
  private shares: Record<Text, ArrayLike<number>> = { tokens: [], source: [] };

  constructor(data: Data, selection: Selection) {
    this.data = data;
    this.selection = selection;
    this.press = choice<Shading>(byId("shading"), (shading) => selection.set({ shading }));
    if (data.header.source) this.build("source", "The source, token by token");
    this.build("tokens", "The text, token by token");
  }

  /** Whether the keyboard is in the text of the encoder. */
  get focused(): Text {
    return document.activeElement === this.boxes.source ? "source" : "tokens";
  }

  private build(text: Text, name: string): void {
    const { data } = this;
    const box = html("div", {
      class: `text ${text}`,
      role: "listbox",
      tabindex: 0,
      "aria-label": name,
      dir: "auto",
    });
    const isLong = data.lengthOf(text) > long;
    box.classList.toggle("long", isLong);
    let parent: HTMLElement = box;
    data.tokens(text).forEach((place, i) => {
      if (isLong && i % block === 0) box.append((parent = html("div", { class: "block", role: "none" })));
      const token = data.string(place);
      // A blank before a word belongs to its token, but is neither underlined nor shaded.
      const isSpaced = token.startsWith(" ") && token.trim() !== "";
      if (isSpaced && i > 0) parent.append(" ");
      const shown = harmless(isSpaced ? token.slice(1) : token).replace(/\n/g, "↵\n") || "∅";
      const option = html("span", { class: "token", role: "option", id: `${text}-${i}` }, shown);
      option.setAttribute("aria-label", data.token(text, i));
      option.addEventListener("click", () =>
        this.selection.set(text === "source" ? { source: i } : { token: i }),
      );
      tipOn(option, () => this.tip(text, i));
      this.options[text].push(option);
      parent.append(option);
    });
    this.boxes[text] = box;
    byId("texts").append(box);
  }

  private tip(text: Text, i: number): string | undefined {
    const { data, selection } = this;
    const { shading, token, attention, head } = selection.now;
    const name = `“${data.token(text, i)}”`;
    if (shading === "reads")
      return `${name}: ${percent(this.shares[text][i] ?? 0)} of head ${data.headName(attention, head)}’s attention`;
    if (shading === "influence") {
      const sum = data.influence(token)?.[text][i];
      return sum === undefined
        ? "not measured for this prediction"
        : `${name}: ${signed(sum)} on the log-odds of “${data.target(token)}”`;
    }
    if (text === "source") return undefined;
    const of = data.header.reads === "next" ? i - 1 : i;
    const p = of < 0 ? Number.NaN : Math.exp(data.logProbability(of));
    return Number.isNaN(p) ? `${name}: nothing predicted it` : `${name} had probability ${percent(p)} here`;
  }

  draw(): void {
    const { data, selection } = this;
    const { shading, token, source, attention, head } = selection.now;
    const reader = data.attention[attention]?.of;
    this.press(shading);
    document.querySelector("#shading [data-value=reads]")!.textContent =
      `head ${data.headName(attention, head)} reads`;
    this.shares = this.measure();
    for (const text of ["source", "tokens"] as const) {
      this.options[text].forEach((option, i) => {
        const isSelected = text === "source" ? reader === "source" && i === source : i === token;
        this.paint(option, isSelected ? 0 : (this.shares[text][i] ?? 0));
        option.setAttribute("aria-selected", String(isSelected));
      });
    }
    this.boxes.tokens?.setAttribute("aria-activedescendant", `tokens-${token}`);
    this.boxes.source?.setAttribute("aria-activedescendant", `source-${source}`);
    this.drawScale();
    this.scrollBoxes();
  }

  /** Brings what is chosen into sight within a text that scrolls, and moves nothing else. */
  private scrollBoxes(): void {
    const { token, source } = this.selection.now;
    for (const text of ["source", "tokens"] as const) {
      const box = this.boxes[text];
      const option = this.options[text][text === "source" ? source : token];
      if (!box?.classList.contains("long") || option === undefined) continue;
      const [outer, inner] = [box.getBoundingClientRect(), option.getBoundingClientRect()];
      if (inner.top >= outer.top && inner.bottom <= outer.bottom) continue;
      box.scrollTop += inner.top - outer.top - box.clientHeight / 2;
    }
  }

  /** Brings the chosen token into sight, where a key moved to it. */
  reveal(): void {
    const { token, source } = this.selection.now;
    const text = this.focused;
    this.options[text][text === "source" ? source : token]?.scrollIntoView({ block: "nearest" });
  }

  /** Shares in [-1, 1] of each token. */
  private measure(): Record<Text, ArrayLike<number>> {
    const { data, selection } = this;
    const { shading, token, source, attention, head } = selection.now;
    const none: Record<Text, ArrayLike<number>> = { tokens: [], source: [] };
    if (shading === "surprise") {
      const shift = data.header.reads === "next" ? 1 : 0;
      // 13 bits, a word among 8,000, is as surprising as can be shown.
      const surprise = (t: number) => (t < 0 ? 0 : Math.min(1, -data.logProbability(t) / 9) || 0);
      return { ...none, tokens: Array.from({ length: data.length }, (_, i) => surprise(i - shift)) };
    }
    if (shading === "influence") {
      const sums = data.influence(token);
      if (sums === undefined) return none;
      const most = Math.max(1e-9, ...[...sums.tokens, ...sums.source].map(Math.abs));
      return { tokens: sums.tokens.map((v) => v / most), source: sums.source.map((v) => v / most) };
    }
    const looking = data.attention[attention];
    if (looking === undefined) return none;
    const row = data.weights[attention]![head - 1]!.row(looking.of === "source" ? source : token);
    return { ...none, [looking.from]: row };
  }

  private paint(option: HTMLElement, share: number): void {
    const { shading } = this.selection.now;
    const { style } = option;
    if (shading === "surprise") {
      style.backgroundColor = style.color = "";
      style.setProperty("--line", share > 0.06 ? css(shade("down", 0.12 + 0.8 * share)) : "transparent");
      return;
    }
    style.setProperty("--line", "transparent");
    const size = Math.abs(share);
    const isSeen = size > (shading === "reads" ? 0.02 : 0.04);
    const color =
      shading === "reads"
        ? shade("up", Math.sqrt(size) * 0.72)
        : shade(share > 0 ? "up" : "down", size * 0.64);
    style.backgroundColor = isSeen ? css(color) : "";
    style.color = isSeen ? inkOn(color) : "";
  }

  private drawScale(): void {
    const { shading } = this.selection.now;
    const canvas = html("canvas", { width: 72, height: 1, "aria-hidden": true });
    const context = canvas.getContext("2d")!;
    for (let x = 0; x < 72; x++) {
      const v = x / 71;
      const color =
        shading === "surprise"
          ? shade("down", 0.12 + 0.8 * v)
          : shading === "reads"
            ? shade("up", Math.sqrt(v) * 0.72)
            : shade(v < 0.5 ? "down" : "up", Math.abs(2 * v - 1) * 0.64);
      context.fillStyle = css(color);
      context.fillRect(x, 0, 1, 1);
    }
    const [low, high] = {
      surprise: ["expected", "a surprise"],
      influence: ["hurt", "helped"],
      reads: ["0", "100%"],
    }[shading] as [string, string];
    byId("scale").replaceChildren(low, canvas, high);
  }
}
