import { byId, html } from "../../page/dom.ts";
import type { History } from "../history.ts";

/** What the model wrote behind the prompt at an evaluation, the newest first; a slider goes back in time. */
export class Writes {
  /** Evaluations before the newest. */
  private back = 0;
  private history: History | undefined;
  private readonly slider = byId<HTMLInputElement>("when");

  constructor() {
    this.slider.addEventListener("input", () => {
      this.back = Number(this.slider.max) - Number(this.slider.value);
      if (this.history) this.draw(this.history);
    });
  }

  draw(history: History): void {
    this.history = history;
    const { samples } = history;
    byId("writes-section").hidden = samples.length === 0;
    if (samples.length === 0) return;
    this.back = Math.min(this.back, samples.length - 1);
    const shown = samples[samples.length - 1 - this.back]!;
    this.slider.max = String(samples.length - 1);
    this.slider.value = String(samples.length - 1 - this.back);
    byId("writes-control").hidden = samples.length < 2;
    byId("writes-lead").replaceChildren(
      "The same prompt at every evaluation. At step ",
      html("b", {}, shown.step.toLocaleString("en")),
      this.back === 0 ? ", the newest:" : ":",
    );
    byId("writes").replaceChildren(html("span", { class: "prompt" }, shown.prompt), shown.text);
  }
}
