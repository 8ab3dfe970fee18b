import path from "node:path";
import { ArgumentError, type CharTokenizer, WatchReporter } from "../index.ts";
import { checkCharacters } from "./model-folder.ts";
import { openInBrowser } from "./open-browser.ts";
import { flag, integer, text, type Values } from "./options.ts";
import { flagOf } from "./parse-options.ts";
import { UsageError } from "./usage-error.ts";

/** The options of a training that can be watched. */
export const watchOptions = {
  watch: flag("shows the run as it goes, on a page of 127.0.0.1; it stays as train.html in --out"),
  port: integer(0, "of that page (default: a free one)", 65_535),
  open: flag("opens the page in the browser"),
  watchPrompt: text("TEXT", "written on at every evaluation (default: how the held-out text begins)"),
  watchProbe: text("TEXT", "whose attention is shown (default: how the held-out text begins, said twice)"),
};

export interface Watched {
  readonly options: Values<typeof watchOptions>;
  readonly data: string;
  readonly out: string;
  readonly context: number;
  readonly tokenizer: CharTokenizer;
  /** How the held-out text begins. */
  readonly beginning: string;
  /** Says the address. */
  readonly say: (line: string) => void;
}

/** Characters of a prompt and of half a probe that nobody chose, at most. */
const chosen = 24;

/**
 * Serves the page of a training run, if it is asked for.
 *
 * @throws UsageError on options that say how to watch where nothing is watched; ArgumentError on texts that the model
 *   cannot read
 */
export function watcher({
  options,
  data,
  out,
  context,
  tokenizer,
  beginning,
  say,
}: Watched): WatchReporter[] {
  const { watch, port = 0, open, watchPrompt, watchProbe } = options;
  if (!watch) {
    for (const name of ["port", "open", "watchPrompt", "watchProbe"] as const) {
      if (options[name] === undefined || options[name] === false) continue;
      throw new UsageError(`${flagOf(name)} needs --watch`);
    }
    return [];
  }
  const first = (count: number) => [...beginning].slice(0, count).join("");
  const half = first(Math.min(chosen, Math.floor(context / 2)));
  const prompt = watchPrompt ?? first(chosen);
  const probe = watchProbe ?? half + half;
  for (const [name, given] of Object.entries({ watchPrompt, watchProbe })) {
    if (given === "")
      throw new UsageError(`${flagOf(name)} must have a character at least; got an empty text`);
    if (given !== undefined) checkCharacters(flagOf(name), given, tokenizer, data);
  }
  const ids = tokenizer.encode(probe);
  if (ids.length > context) {
    const most = `--context, ${context}`;
    throw new ArgumentError(
      `--watch-probe must have at most as many characters as ${most}; got ${ids.length}`,
    );
  }
  return [
    new WatchReporter({
      title: path.basename(path.resolve(out)),
      ...{ port, prompt, tokenizer, probe: ids.length > 1 && [...ids] },
      generation: { maxNewTokens: 120, doSample: true, temperature: 0.8, topK: 40 },
      onListen(url) {
        say(`  watch it at ${url}`);
        if (open) openInBrowser(url, say);
      },
    }),
  ];
}
