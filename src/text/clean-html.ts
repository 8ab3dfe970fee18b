import { createRequire } from "node:module";

/** Loaded when first asked for: most programs never meet a tag. */
const load = createRequire(import.meta.url);

/** Elements whose text is not part of the page. */
const unseen = new Set(["script", "style", "template", "noscript", "title", "iframe"]);

/** Elements that begin and end a line, as CSS `display: block`, `list-item` and `table-row` have it. */
const blocks = new Set(
  (
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption figure " +
    "footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu nav ol optgroup option p pre search " +
    "section summary table tbody tfoot thead tr ul"
  ).split(" "),
);

/** Elements with an empty line on both sides. */
const paragraphs = new Set("blockquote h1 h2 h3 h4 h5 h6 p pre table".split(" "));

/**
 * The text of an HTML page or fragment as a browser's `innerText` would give it: comments, scripts, styles and the
 * title are dropped, block elements and `<br>` become line breaks, table cells are separated by tabs, entities are
 * decoded, and white space counts as one space outside `<pre>`. Any string is HTML: nothing throws.
 */
export function htmlToText(html: string): string {
  const { Parser } = load("htmlparser2") as typeof import("htmlparser2");
  const pieces: string[] = [];
  let unseenDepth = 0;
  let preDepth = 0;
  let lineBreaks = 2; // at the end of what is written; the beginning counts as an empty line
  let isAfterSpace = true;
  const write = (text: string, isBreak = false): void => {
    if (text === "") return;
    pieces.push(text);
    isAfterSpace = /\s$/.test(text);
    lineBreaks = isBreak ? lineBreaks + text.length : 0;
  };
  const breakLine = (name: string): void => {
    if (blocks.has(name)) write("\n".repeat(Math.max(0, (paragraphs.has(name) ? 2 : 1) - lineBreaks)), true);
  };
  const parser = new Parser({
    onopentag(name) {
      if (unseen.has(name)) unseenDepth++;
      if (unseenDepth > 0) return;
      breakLine(name);
      if (name === "pre") preDepth++;
      if (name === "br") write("\n", true);
      if ((name === "td" || name === "th") && !isAfterSpace) write("\t");
    },
    onclosetag(name) {
      if (unseen.has(name)) unseenDepth = Math.max(0, unseenDepth - 1);
      if (unseenDepth > 0) return;
      if (name === "pre") preDepth = Math.max(0, preDepth - 1);
      breakLine(name);
    },
    ontext(text) {
      if (unseenDepth > 0) return;
      if (preDepth > 0) return write(text);
      const spaced = text.replace(/[ \t\n\f\r]+/g, " ");
      write(isAfterSpace && spaced.startsWith(" ") ? spaced.slice(1) : spaced);
    },
  });
  parser.end(html);
  return pieces.join("").trim();
}

/** `text` with HTML's character references decoded, named (`&eacute;`, `&amp`) and numeric (`&#233;`, `&#xe9;`). */
export function decodeEntities(text: string): string {
  const { decodeHTML } = load("entities") as typeof import("entities");
  return decodeHTML(text);
}
