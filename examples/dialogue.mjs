// Exchanges from the fiction in the Brown corpus: what a character says, and what is said next.
import { splitData } from "trainformer";
import { brownDocuments } from "../scripts/brown.mjs";

/** Text as people write it, without quotation marks: the corpus has spaces around punctuation, and ? and ! twice. */
const plain = (text) =>
  text
    .replace(/``|''/g, "")
    .replace(/\s+/g, " ")
    .replace(/ ([,.;:!?])/g, "$1")
    .replace(/([?!;:])\1+/g, "$1")
    .trim();

/**
 * Speeches of a text in order, and how many words of narration are before each. What follows "…", he said is the same
 * speech going on.
 */
function speechesOf(text) {
  const speeches = [];
  let end = 0;
  for (const { 1: words, 2: mark, index, 0: whole } of text.matchAll(/`` (.+?) ''(?: ([.,?!]))?/gs)) {
    const between = text.slice(end, index).trim();
    const narration = between.split(/\s+/).length;
    const last = speeches.at(-1);
    if (last?.mark === "," && narration <= 8) {
      last.words += ` ${between.match(/[.,]?$/)[0]} ${words}`;
      last.mark = mark;
    } else speeches.push({ words, mark, narration });
    end = index + whole.length;
  }
  return speeches.map(({ words, mark, narration }) => ({
    text: plain(`${words} ${mark === "," || mark === undefined ? "." : mark}`),
    narration,
  }));
}

const isReply = ({ text, narration }, before) =>
  narration <= 40 && Math.min(text.length, before.text.length) > 5;

/** The exchanges of a document, as pairs of texts { source, target }. */
function exchangesOf({ text }) {
  const speeches = speechesOf(text);
  return speeches
    .map((speech, i) => ({ speech, before: speeches[i - 1] }))
    .filter(({ speech, before }) => before !== undefined && isReply(speech, before))
    .map(({ speech, before }) => ({ source: before.text, target: speech.text }));
}

/**
 * Exchanges by part, and the sentences of each training document. A document is in one part only.
 *
 * @returns `{ train, validation, test, sentences }`
 */
export function readDialogues(seed) {
  const documents = brownDocuments().filter(({ id }) => /^c[k-r]/.test(id)); // the genres of fiction
  const fractions = { train: 0.8, validation: 0.05, test: 0.15 };
  const parts = splitData(documents, { fractions, seed });
  const exchanges = Object.entries(parts).map(([part, documents]) => [part, documents.flatMap(exchangesOf)]);
  const sentences = parts.train.map(({ text }) => text.split("\n").map(plain).filter(Boolean));
  return { ...Object.fromEntries(exchanges), sentences };
}
