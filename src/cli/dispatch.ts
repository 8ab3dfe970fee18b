import { TrainformerError } from "../errors.ts";
import { exitCodes } from "./command.ts";
import { type CommandEntry, commands } from "./commands.ts";
import { helpOf, overview } from "./help.ts";
import { interruptSignal, isInterruption } from "./interrupts.ts";
import { nearest } from "./nearest.ts";
import { parseOptions } from "./parse-options.ts";
import { UsageError } from "./usage-error.ts";
import { version } from "./version.ts";

const isHelp = (arg: string | undefined): boolean => arg === "--help" || arg === "-h";

/** The command that the arguments begin with, and what follows it. */
function findCommand(args: readonly string[]): { entry: CommandEntry; rest: readonly string[] } | undefined {
  for (const words of [2, 1]) {
    const name = args.slice(0, words).join(" ");
    const entry = commands.find((each) => each.name === name);
    if (entry !== undefined && args.length >= words) return { entry, rest: args.slice(words) };
  }
  return undefined;
}

/** The commands whose first word is `word`: those of `trainformer tokenizer`. */
const groupOf = (word: string | undefined): readonly CommandEntry[] =>
  commands.filter(({ name }) => name.startsWith(`${word} `));

function unknownCommand([name, next]: readonly string[]): UsageError {
  const advice = "see trainformer --help";
  const names = (entries: readonly CommandEntry[]) => entries.map((entry) => entry.name).join(", ");
  if (name === undefined) return new UsageError(`a command is needed: ${names(commands)}; ${advice}`);
  const group = groupOf(name);
  if (group.length > 0) {
    const came = next === undefined ? "none" : next;
    return new UsageError(`${name} must be followed by what to do: ${names(group)}; got ${came}`);
  }
  const words = commands.map((entry) => entry.name.split(" ")[0]!);
  return new UsageError(`unknown command ${name}; the nearest is ${nearest(name, words)}; ${advice}`);
}

/**
 * Runs what the command line asks for.
 *
 * @returns the exit code
 * @throws UsageError on a command line that is wrong, and what the command throws; see {@link failureOf}
 */
export async function dispatch(args: readonly string[]): Promise<number> {
  if (args[0] === "--version") {
    console.log(version);
    return exitCodes.done;
  }
  const found = findCommand(args);
  if (isHelp(args[0]) || (found === undefined && isHelp(args[1]) && groupOf(args[0]).length > 0)) {
    process.stdout.write(overview(isHelp(args[0]) ? commands : groupOf(args[0])));
    return exitCodes.done;
  }
  if (found === undefined) throw unknownCommand(args);
  const command = await found.entry.load();
  if (found.rest.some(isHelp)) {
    process.stdout.write(helpOf(found.entry, command));
    return exitCodes.done;
  }
  const values = parseOptions(command.options, found.rest);
  if (command.ownsInterrupts) return command.run(values, new AbortController().signal);
  const { signal, end } = interruptSignal();
  try {
    return await command.run(values, signal);
  } catch (error) {
    if (isInterruption(error, signal)) return exitCodes.interrupted;
    throw error;
  } finally {
    end();
  }
}

/** What an error of {@link dispatch} is on stderr, one line unless only we can mend it, and its exit code. */
export function failureOf(args: readonly string[], error: unknown): { message: string; exitCode: number } {
  const name = findCommand(args)?.entry.name;
  const isExpected = error instanceof TrainformerError || (error instanceof Error && "code" in error);
  const text = error instanceof Error ? error.message : String(error);
  const shown = isExpected ? text.replaceAll("\n", " ") : ((error as Error | undefined)?.stack ?? text);
  return {
    message: `trainformer${name === undefined ? "" : ` ${name}`}: ${shown}`,
    exitCode: error instanceof UsageError ? exitCodes.usage : exitCodes.failed,
  };
}
