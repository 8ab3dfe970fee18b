import type { Command } from "./command.ts";
import type { CommandEntry } from "./commands.ts";
import type { Options } from "./options.ts";
import { labelOf } from "./parse-options.ts";
import { version } from "./version.ts";

const width = 80;
const maxLabel = 26;

/** Words in lines of at most `room` characters, unless a word is longer. */
function wrapped(text: string, room: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > room) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** Lines of two columns, the first as wide as its longest cell, within 80 characters; a long cell has its own line. */
export function columns(rows: readonly (readonly [string, string])[]): string {
  const labelWidth = Math.max(...rows.map(([left]) => left.length).filter((length) => length <= maxLabel));
  const indent = " ".repeat(labelWidth + 4);
  return rows
    .flatMap(([left, right]) => {
      const [first, ...rest] = wrapped(right, width - labelWidth - 4);
      const more = rest.map((line) => indent + line);
      return left.length > labelWidth
        ? [`  ${left}`, indent + first, ...more]
        : [`  ${left.padEnd(labelWidth)}  ${first}`.trimEnd(), ...more];
    })
    .join("\n");
}

const environment = columns([
  ["TRAINFORMER_THREADS", "threads to compute with (default: one a core)"],
  [
    "TRAINFORMER_ISA",
    "instruction set to use: scalar, avx2, avx512, avx512bf16, amx, neon (default: the best there is)",
  ],
  ["TRAINFORMER_CUDA", "another file in the place of trainformer_cuda.so"],
  ["NO_COLOR", "no colours"],
]);

const ofAll: [string, string][] = [
  ["--config FILE", "options from a JSON object, by these names or in camelCase; the command line wins"],
  ["-h, --help", "shows this"],
];

const codes = "exit codes: 0 done, 1 failed, 2 called wrongly, 130 stopped by Ctrl-C";

/** What `trainformer --help` prints, or `trainformer tokenizer --help` of the commands that begin so. */
export const overview = (entries: readonly CommandEntry[]): string =>
  `trainformer ${version}: assembles and trains Transformers on native kernels

usage: trainformer COMMAND [options]

${columns(entries.map(({ name, summary }) => [name, summary]))}

${columns([
  ["COMMAND --help", "the options of a command"],
  ["COMMAND --config FILE", "its options from a JSON object; the command line wins"],
  ["--version", "of this package"],
])}

${codes}

environment:
${environment}
`;

const optionsHelp = (options: Options): string =>
  columns([
    ...Object.entries(options).map(([name, option]): [string, string] => {
      const label = labelOf(name, option);
      const isNamed = !option.isPositional && option.placeholder !== undefined;
      const help =
        option.isRepeatable && !option.isPositional ? `${option.help}; may be repeated` : option.help;
      return [isNamed ? `${label} ${option.placeholder}` : label, help];
    }),
    ...ofAll,
  ]);

/** What `trainformer COMMAND --help` prints. */
export const helpOf = ({ name, summary }: CommandEntry, { usage, notes, options }: Command): string =>
  `trainformer ${name}: ${summary}

usage: trainformer ${name} ${usage}

${optionsHelp(options)}
${notes === undefined ? "" : `\n${wrapped(notes, width).join("\n")}\n`}
${codes}
`;
