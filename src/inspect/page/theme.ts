import { useTheme } from "./color.ts";

export type Theme = "light" | "dark";

const system = matchMedia("(prefers-color-scheme: dark)");
const fromSystem = (): Theme => (system.matches ? "dark" : "light");

/** Follows the system until somebody chooses; `changed` draws what has colors in it anew. */
export class Themes {
  private readonly button: HTMLElement;
  private readonly changed: () => void;
  chosen: Theme | undefined;

  constructor(button: HTMLElement, chosen: string | null, changed: () => void) {
    this.button = button;
    this.changed = changed;
    this.chosen = chosen === "light" || chosen === "dark" ? chosen : undefined;
    this.apply();
    button.addEventListener("click", () => this.toggle());
    system.addEventListener("change", () => {
      this.apply();
      this.changed();
    });
  }

  get current(): Theme {
    return this.chosen ?? fromSystem();
  }

  toggle(): void {
    this.chosen = this.current === "dark" ? "light" : "dark";
    this.apply();
    this.changed();
  }

  private apply(): void {
    document.documentElement.dataset.theme = this.current;
    useTheme(this.current);
    this.button.textContent = this.current === "dark" ? "Light" : "Dark";
  }
}
