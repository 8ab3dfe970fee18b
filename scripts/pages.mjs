/**
 * Makes the pages that are written for people (`inspect`, `--watch`): each is one file, `dist/pages/NAME.html`, with its
 * styles and its script inside and a place for the data. Nothing else runs: the policy in the file names both by hash.
 *
 *   src/inspect/NAME/page/NAME.html   <!--policy--> <!--style--> <!--script-->, and <!--data-->, which stays
 *                         NAME.css    joined with what it imports
 *                         main.ts     joined with what it imports
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

export const pages = ["report", "watch"];
const inRoot = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));

/** What browsers with DecompressionStream("deflate-raw") understand: May 2023. */
const target = ["chrome113", "firefox113", "safari16.4"];

function joined(file) {
  const { outputFiles } = buildSync({
    entryPoints: [inRoot(file)],
    bundle: true,
    minify: true,
    write: false,
    format: "iife",
    charset: "utf8",
    logLevel: "error",
    legalComments: "none",
    target,
  });
  const text = outputFiles[0].text.trim();
  if (/<\/(script|style)|<!--/i.test(text)) throw new Error(`${file} would end its own element`);
  return text;
}

const hashOf = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

export function buildPages() {
  mkdirSync(inRoot("dist/pages"), { recursive: true });
  for (const name of pages) {
    const folder = `src/inspect/${name}/page`;
    const script = joined(`${folder}/main.ts`);
    const style = joined(`${folder}/${name}.css`);
    const parts = {
      policy: `default-src 'none'; img-src data:; style-src ${hashOf(style)}; script-src ${hashOf(script)}`,
      style: `<style>${style}</style>`,
      script: `<script>${script}</script>`,
    };
    const page = readFileSync(inRoot(`${folder}/${name}.html`), "utf8").replace(
      /<!--(policy|style|script)-->/g,
      (_, part) => parts[part],
    );
    writeFileSync(inRoot(`dist/pages/${name}.html`), page);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) buildPages();
