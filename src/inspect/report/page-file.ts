import { readFileSync } from "node:fs";

/** A page as scripts/pages.mjs made it: styles and script are inside, data are not. */
export class PageFile {
  private readonly before: string;
  private readonly after: string;

  constructor(name: "report" | "watch") {
    const page = readFileSync(new URL(`../../../dist/pages/${name}.html`, import.meta.url), "utf8");
    [this.before, this.after] = page.split("<!--data-->") as [string, string];
  }

  /** The page with a title and data: `header` as JSON, `sections` as elements; `allowed` widens its policy. */
  with(title: string, header: unknown, sections = "", allowed = ""): string {
    const escaped = title.replace(/[<>&]/g, (sign) => `&#${sign.charCodeAt(0)};`);
    const before = this.before.replace("<!--title-->", () => escaped).replace("<!--allowed-->", allowed);
    return `${before}<script type="application/json" id="header">${scriptJSON(header)}</script>\n${sections}${this.after}`;
  }
}

/** JSON that cannot end the element it is in; numbers that are not finite are strings. */
const scriptJSON = (value: unknown): string =>
  JSON.stringify(value, (_, v) => (typeof v === "number" && !Number.isFinite(v) ? String(v) : v)).replace(
    /</g,
    "\\u003c",
  );
