import { createContext, Script } from "node:vm";
import * as library from "@huggingface/tokenizers";
import { CheckpointError, show } from "../errors.ts";
import type { Fields } from "./fields.ts";
import { asPatternsSee } from "./unicode.ts";

/** Where something was found: starts and ends in turns, in UTF-16 units. */
export type Matches = readonly number[];

/** Finds what does not overlap, from left to right. */
export type Pattern = (text: string) => Matches;

/** Translates Oniguruma's syntax. The declarations of the package lack the class for who resolves modules as Node does. */
const { SplitPreTokenizer } = library as unknown as {
  SplitPreTokenizer: new (config: object) => { readonly pattern: RegExp | null };
};

/** What a file may ask for: more is taken for an attack. */
const longestSource = 65_536;

/**
 * Runs what an untrusted file describes, and ends it after two seconds and one more for a million characters.
 *
 * @throws CheckpointError that `what` took longer
 */
export function withTimeLimit<T>(what: string, characters: number, run: () => T): T {
  const timeLimit = 2000 + Math.ceil(characters / 1000);
  try {
    return new Script("run()").runInContext(createContext({ run }), { timeout: timeLimit });
  } catch (error) {
    if ((error as NodeJS.ErrnoException | null)?.code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw error;
    throw new CheckpointError(`${what} takes more than ${timeLimit / 1000} s`);
  }
}

/** All matches of a regular expression with the flag g. */
export function matchesOf(expression: RegExp, text: string): number[] {
  const matches: number[] = [];
  expression.lastIndex = 0;
  for (let match = expression.exec(text); match; match = expression.exec(text)) {
    const length = match[0].length;
    matches.push(match.index, match.index + length);
    if (length === 0) expression.lastIndex += text.codePointAt(match.index)! > 0xffff ? 2 : 1;
  }
  return matches;
}

/**
 * Whether backtracking is bounded by a low power of the text's length, judged by sight: no repetition within a
 * repetition, at most two unbounded ones in an alternative, no back reference.
 */
function isHarmless(source: string): boolean {
  /** Of each open group: the most repetitions in an alternative that is over, and those of the present one. */
  const groups = [{ most: 0, count: 0 }];
  let last = 0; // repetitions within the atom before
  for (let i = 0; i < source.length; i++) {
    const group = groups.at(-1)!;
    const c = source[i]!;
    if (c === "\\") {
      if (/[1-9k]/.test(source[i + 1] ?? "")) return false;
      const braced = /^\\[pPu]\{[^}]*\}/.exec(source.slice(i, i + 64));
      i += braced ? braced[0].length - 1 : 1;
      last = 0;
    } else if (c === "[") {
      for (i++; i < source.length && source[i] !== "]"; i++) if (source[i] === "\\") i++;
      last = 0;
    } else if (c === "(") {
      groups.push({ most: 0, count: 0 });
      last = 0;
    } else if (c === ")") {
      if (groups.length === 1) return false;
      groups.pop();
      last = Math.max(group.most, group.count);
      groups.at(-1)!.count += last;
    } else if (c === "|") {
      group.most = Math.max(group.most, group.count);
      group.count = 0;
      last = 0;
    } else if (c === "*" || c === "+" || (c === "{" && !/^\{[0-4](,[0-4])?\}/.test(source.slice(i, i + 5)))) {
      if (last > 0) return false;
      group.count++;
    } else if (c !== "?" && c !== "{" && c !== "}") {
      last = 0;
    }
    if (groups.at(-1)!.count > 2) return false;
  }
  return true;
}

/**
 * The pattern of a component: `{ String }` or `{ Regex }` in Oniguruma's syntax.
 *
 * @throws CheckpointError on what is neither or cannot be translated into a regular expression of JavaScript
 */
export function compilePattern(component: Fields): Pattern {
  const fields = component.object("pattern");
  const literal = fields.optionalString("String");
  if (literal !== undefined) {
    if (literal === "") throw component.error("pattern", "a pattern that is not empty");
    const expression = new RegExp(
      literal.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&").replace(/\\-/g, "-"),
      "gu",
    );
    return (text) => matchesOf(expression, text);
  }
  const source = fields.string("Regex");
  if (source.length > longestSource) throw fields.error("Regex", `of at most ${longestSource} characters`);
  let expression: RegExp | null;
  try {
    expression = new SplitPreTokenizer({ type: "Split", pattern: { Regex: source } }).pattern;
  } catch (cause) {
    const message = `${fields.path}.Regex ${show(source)} cannot be translated: ${(cause as Error).message}`;
    throw new CheckpointError(message, { cause });
  }
  if (!expression) throw fields.error("Regex", "a regular expression");
  const regex = expression;
  const find = (text: string) => matchesOf(regex, asPatternsSee(text));
  if (isHarmless(regex.source)) return find;
  const what = `${fields.path}.Regex ${show(source)}`;
  return (text) => withTimeLimit(`${what} on ${text.length} characters`, text.length, () => find(text));
}
