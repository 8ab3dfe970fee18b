#!/usr/bin/env node
import { ArgumentError, TrainformerError } from "../errors.ts";
import { type Command, columns, helpOf, interrupted, parseOptions } from "./command.ts";
import { version } from "./version.ts";

const commands: Readonly<Record<string, { summary: string; load: () => Promise<{ command: Command }> }>> = {
  train: {
    summary: "trains a character-level GPT on a text",
    load: async () => (await import("./train.ts")) as { command: Command },
  },
  generate: {
    summary: "writes on from a prompt",
    load: async () => (await import("./generate.ts")) as { command: Command },
  },
  info: {
    summary: "says what this machine offers",
    load: async () => (await import("./info.ts")) as { command: Command },
  },
};

const environment = columns([
  ["TRAINFORMER_THREADS", "threads to compute with (default: one a core)"],
  [
    "TRAINFORMER_ISA",
    "instruction set to use: scalar, avx2, avx512, avx512bf16, amx, neon (default: the best there is)",
  ],
  ["TRAINFORMER_CUDA", "another file in the place of trainformer_cuda.so"],
]);

const help = `trainformer ${version}: trains Transformers on native kernels

usage: trainformer COMMAND [options]

${columns(Object.entries(commands).map(([name, { summary }]) => [name, summary]))}

  --version, --help; trainformer COMMAND --help shows the options of a command

environment:
${environment}
`;

const helpFor = (name: string, { usage, options }: Command): string =>
  `trainformer ${name}: ${commands[name]!.summary}

usage: trainformer ${name} ${usage}

${helpOf(options)}

environment:
${environment}
`;

/** Aborts at the first SIGINT or SIGTERM; a second one, more than the echo of the first, ends the process. */
function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  const echo_ms = 300; // under `npm run`, one Ctrl-C arrives twice: from the terminal and from npm
  let first_ms = Number.NaN;
  const interrupt = () => {
    if (performance.now() - first_ms > echo_ms) process.exit(interrupted);
    if (controller.signal.aborted) return;
    first_ms = performance.now();
    controller.abort();
  };
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  return controller.signal;
}

async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === "--version") {
    console.log(version);
    return 0;
  }
  if (name === "--help" || name === "-h") {
    process.stdout.write(help);
    return 0;
  }
  const entry = name !== undefined && Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (entry === undefined) {
    const known = Object.keys(commands).join(", ");
    const problem = name === undefined ? "a command is needed" : `unknown command ${name}`;
    throw new ArgumentError(`${problem}: ${known}; see trainformer --help`);
  }
  const { command } = await entry.load();
  if (args.includes("--help") || args.includes("-h")) {
    process.stdout.write(helpFor(name!, command));
    return 0;
  }
  return command.run(parseOptions(command.options, args), interruptSignal());
}

/** One line for what the user can mend; the stack for what only we can. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const isExpected = error instanceof TrainformerError || "code" in error;
  return isExpected ? error.message.replaceAll("\n", " ") : (error.stack ?? error.message);
}

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0); // whoever read the output has seen enough
});

const args = process.argv.slice(2);
try {
  process.exitCode = await main(args);
} catch (error) {
  const name = args[0] !== undefined && Object.hasOwn(commands, args[0]) ? ` ${args[0]}` : "";
  console.error(`trainformer${name}: ${describe(error)}`);
  process.exitCode = 1;
}
