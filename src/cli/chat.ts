import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { ArgumentError, CausalLM, CharTokenizer, type ChatMessage, type GenerationConfig } from "../index.ts";
import { isTerminal, styled } from "../train/report/screen.ts";
import { defineCommand, exitCodes } from "./command.ts";
import { Conversation, type Turn } from "./conversation.ts";
import { generationConfigOf, generationOptions } from "./generation-options.ts";
import { echo_ms } from "./interrupts.ts";
import {
  type AnyTokenizer,
  checkVocabulary,
  loadGenerativeModel,
  loadTokenizer,
  modelOptions,
} from "./model-folder.ts";
import { flag, text, type Values } from "./options.ts";
import { UsageError } from "./usage-error.ts";

const { maxNewTokens, stopStrings, greedy, temperature, topK, topP, minP, repetitionPenalty, seed } =
  generationOptions;

const options = {
  ...modelOptions,
  system: text("TEXT", "what the model is to be"),
  chatTemplate: text("FILE", "a Jinja template instead of the model's"),
  plain: flag("without a template: the model goes on from what is typed"),
  ...{ maxNewTokens, stopStrings, greedy, temperature, topK, topP, minP, repetitionPenalty, seed },
  json: flag("prints each answer as a JSON object in a line"),
};
type O = Values<typeof options>;

/** All that has been said as one text, each line on its own. */
const plainText = (messages: readonly ChatMessage[]): string =>
  messages.reduce((all, { content }) => all + (/(^|\s)$/.test(all) ? "" : "\n") + String(content), "");

/** What makes ids of messages: the template, or with --plain the text itself. */
async function rendererOf(
  o: O,
  tokenizer: AnyTokenizer,
): Promise<(messages: readonly ChatMessage[]) => Int32Array> {
  if (o.plain) {
    if (o.chatTemplate !== undefined) throw new UsageError("--plain excludes --chat-template; got both");
    return (messages) => tokenizer.encode(plainText(messages));
  }
  const chatTemplate = o.chatTemplate && (await readFile(o.chatTemplate, "utf8"));
  if (tokenizer instanceof CharTokenizer || (tokenizer.chatTemplate ?? chatTemplate) === undefined) {
    const advice = "--chat-template gives one, --plain does without";
    throw new UsageError(`--model must have a chat template; ${o.model} has none: ${advice}`);
  }
  const template = chatTemplate === undefined ? {} : { chatTemplate };
  return (messages) => tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true, ...template });
}

/** How to answer: until the model's end, or that of the tokenizer, which for some models is that of an answer. */
function generationOf(o: O, model: CausalLM, tokenizer: AnyTokenizer) {
  const { eosTokenId } = model.generationConfig;
  const own = tokenizer instanceof CharTokenizer ? undefined : tokenizer.eosTokenId;
  const ends = [...(typeof eosTokenId === "number" ? [eosTokenId] : (eosTokenId ?? [])), own];
  const known = [...new Set(ends)].filter((id) => id !== undefined);
  return (promptLength: number): GenerationConfig & { seed: number } => ({
    ...generationConfigOf(o, model, tokenizer, promptLength),
    ...(known.length > 0 && { eosTokenId: known }),
  });
}

const help = `  /reset        forgets what has been said
  /system TEXT  says what the model is to be, and forgets what has been said
  /exit         leaves, as the end of the input does
  a line that ends in \\ goes on in the next; // begins a line with a slash
`;

/** Lines of stdin, and Ctrl-C: once ends an answer, twice leaves. */
class Console {
  readonly isTerminal = process.stdin.isTTY === true && isTerminal(process.stdout);
  readonly #lines = createInterface({
    input: process.stdin,
    output: process.stdout,
    terminal: this.isTerminal,
    prompt: styled(process.stdout, "cyan", "> "),
  });
  #answering: AbortController | undefined;
  #interrupted_ms = -Infinity;
  /** Whether another Ctrl-C leaves. */
  #isArmed = false;
  hasLeft = false;

  constructor() {
    this.#lines.on("SIGINT", () => this.#interrupt());
    process.on("SIGINT", () => this.#interrupt()).on("SIGTERM", () => process.exit(exitCodes.interrupted));
  }

  #interrupt(): void {
    const now_ms = performance.now();
    if (now_ms - this.#interrupted_ms < echo_ms) return;
    this.#interrupted_ms = now_ms;
    if (this.#isArmed) {
      this.hasLeft = true;
      if (this.#answering) process.exit(exitCodes.interrupted);
      this.close();
      return;
    }
    this.#isArmed = true;
    if (this.#answering) this.#answering.abort();
    else {
      process.stderr.write("\n(Ctrl-C once more leaves)\n");
      this.ask();
    }
  }

  ask(): void {
    if (this.isTerminal) this.#lines.prompt();
  }

  /** What is typed, until the input ends or Ctrl-C leaves. */
  async *inputs(): AsyncGenerator<string> {
    let begun = "";
    this.ask();
    for await (const line of this.#lines) {
      this.#isArmed = false;
      if (line.endsWith("\\")) {
        begun += `${line.slice(0, -1)}\n`;
        continue;
      }
      const input = begun + line;
      begun = "";
      yield input;
      if (this.hasLeft) return;
      this.ask();
    }
  }

  /** Runs `body`, whose signal the next Ctrl-C aborts. */
  async answering(body: (signal: AbortSignal) => Promise<void>): Promise<void> {
    this.#answering = new AbortController();
    try {
      await body(this.#answering.signal);
    } finally {
      this.#answering = undefined;
    }
  }

  close(): void {
    this.#lines.close();
  }
}

async function answer(
  conversation: Conversation,
  input: string,
  json: boolean,
  signal: AbortSignal,
): Promise<void> {
  const pieces = conversation.answer(input, signal);
  let turn: Turn;
  for (;;) {
    const next = await pieces.next();
    if (next.done) {
      turn = next.value;
      break;
    }
    if (!json) process.stdout.write(next.value);
  }
  if (turn.droppedMessages > 0) {
    process.stderr.write(`(the oldest ${turn.droppedMessages} messages no longer fit and are forgotten)\n`);
  }
  const { content, ...facts } = turn;
  process.stdout.write(json ? `${JSON.stringify({ role: "assistant", content, ...facts })}\n` : "\n");
}

/** Does what a line that begins with a slash says. @returns whether to leave */
function obey(command: string, conversation: Conversation): boolean {
  const [, name, rest] = /^\/(\S*)\s*([\s\S]*)$/.exec(command)!;
  if (name === "exit" || name === "quit") return true;
  if (name === "reset") conversation.reset();
  else if (name === "system") conversation.reset(rest!);
  else if (name === "help") process.stderr.write(help);
  else process.stderr.write(`/${name} must be one of /reset, /system, /exit, /help\n`);
  return false;
}

export const command = defineCommand({
  usage: "--model FOLDER [options]",
  notes:
    "Reads lines of stdin, from a terminal or a pipe, and answers each. /reset, /system TEXT and /exit do what they " +
    "say. Ctrl-C ends an answer, Ctrl-C twice leaves.",
  options,
  ownsInterrupts: true,
  async run(o) {
    const model = await loadGenerativeModel(o.model, o);
    if (!(model instanceof CausalLM))
      throw new UsageError(`--model must be decoder-only; got an encoder–decoder`);
    const tokenizer = await loadTokenizer(o.model);
    checkVocabulary(o.model, tokenizer, model.config.vocabSize);
    const render = await rendererOf(o, tokenizer);
    const generation = generationOf(o, model, tokenizer);
    const conversation = new Conversation(model, tokenizer, { render, generation, system: o.system });
    const terminal = new Console();
    if (terminal.isTerminal) process.stderr.write(`${o.model}: /help says what else can be done\n`);
    for await (const input of terminal.inputs()) {
      if (input.trim() === "") continue;
      if (input.startsWith("/") && !input.startsWith("//")) {
        if (obey(input, conversation)) break;
        continue;
      }
      const said = input.replace(/^\/\//, "/");
      try {
        await terminal.answering((signal) => answer(conversation, said, o.json, signal));
      } catch (error) {
        if (!(error instanceof ArgumentError)) throw error;
        process.stderr.write(`${error.message.replaceAll("\n", " ")}\n`);
      }
    }
    terminal.close();
    conversation.dispose();
    return terminal.hasLeft ? exitCodes.interrupted : exitCodes.done;
  },
});
