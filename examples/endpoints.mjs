// The endpoints of GitHub's API: what each one does, in a paragraph, and its title. From @octokit/openapi-types.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { splitData } from "trainformer";

const plain = (markdown) =>
  markdown
    .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1") // links
    .replace(/[*`\\]/g, "")
    .replace(/\s+/g, " ")
    .trim();

/** A description without its notes and the tokens that the endpoint asks for; at most `length` characters of it. */
function firstOf(description, length) {
  const paragraphs = description.replace(/\n\s*\* ?/g, "\n").split(/\n\s*\n/);
  const telling = paragraphs
    .map((text) => text.replace(/^> ?/gm, ""))
    .filter((text) => !/^\[!|^\*\*Fine/.test(text));
  return plain(telling.join(" ")).slice(0, length);
}

/** `{ source, target }` of 1,150 endpoints: description and title. */
export async function readEndpoints() {
  const file = createRequire(import.meta.url).resolve("@octokit/openapi-types/types.d.ts");
  const endpoint =
    /\/\*\*\n\s*\* (?<title>.+)\n\s*\* @description (?<description>(?:(?!\*\/)[\s\S])*?)\n\s*\*\/\n\s*(?:get|post|put|patch|delete): operations\[/g;
  return [...(await readFile(file, "utf8")).matchAll(endpoint)]
    .map(({ groups: { title, description } }) => ({
      source: firstOf(description, 240),
      target: plain(title),
    }))
    .filter(({ source }) => source !== "");
}

/** Training, validation and test endpoints, of which none has the title or the text of one in another part. */
export const splitEndpoints = (endpoints, seed) =>
  splitData(endpoints, {
    fractions: { train: 0.8, validation: 0.05, test: 0.15 },
    seed,
    groupBy: ({ source, target }) => [source.toLowerCase(), target.toLowerCase()],
  });

const wordsOf = (text) => new Set(text.toLowerCase().match(/[a-z0-9]+/g));

/** The title of the training endpoint whose description has most words in common with `source` (Jaccard). */
export function titleOfNearest(train) {
  const known = train.map(({ source, target }) => ({ words: wordsOf(source), target }));
  return (source) => {
    const words = wordsOf(source);
    const similarities = known.map((other) => {
      const common = [...words].filter((word) => other.words.has(word)).length;
      return common / (words.size + other.words.size - common);
    });
    return known[similarities.indexOf(Math.max(...similarities))].target;
  };
}
