import { readFile } from "node:fs/promises";
import { type GenerationConfig, stream } from "../index.ts";
import { defineCommand, exitCodes } from "./command.ts";
import { generationConfigOf, generationOptions, inFlags } from "./generation-options.ts";
import { unlessAborted } from "./interrupts.ts";
import {
  type AnyTokenizer,
  checkCharacters,
  checkVocabulary,
  loadGenerativeModel,
  loadTokenizer,
  modelOptions,
} from "./model-folder.ts";
import { flag, text } from "./options.ts";
import { readStdin } from "./stdin.ts";
import { asUsage, UsageError, usageErrorOf } from "./usage-error.ts";

type Model = Awaited<ReturnType<typeof loadGenerativeModel>>;
type Config = GenerationConfig & { seed: number };

interface Written {
  texts: string[];
  /** Generated, those of all texts. */
  tokens: number;
}

/** The prompt: what was given, or a file, or what comes through a pipe. */
async function readPrompt(prompt: string | undefined, file: string | undefined): Promise<string> {
  if (prompt !== undefined && file !== undefined) {
    throw new UsageError("--prompt excludes --prompt-file; got both");
  }
  if (prompt !== undefined) return prompt;
  if (file === undefined && process.stdin.isTTY) throw new UsageError("--prompt is required");
  if (file !== undefined && file !== "-") return readFile(file, "utf8");
  return readStdin();
}

/** Writes the text as it is generated. */
async function streamed(
  model: Model,
  tokenizer: AnyTokenizer,
  prompt: string,
  config: Config,
  signal: AbortSignal,
): Promise<Written> {
  const written: Written = { texts: [""], tokens: 0 };
  const count = () => void written.tokens++;
  const options = { ...config, tokenizer, signal, logitsProcessors: [count] };
  const pieces = asUsage(() => stream(model, prompt, options), inFlags);
  if (!model.isEncoderDecoder) process.stdout.write(prompt);
  await unlessAborted(signal, async () => {
    for await (const piece of pieces) {
      process.stdout.write(piece);
      written.texts[0] += piece;
    }
  });
  process.stdout.write("\n");
  return written;
}

/** Writes the texts when all are complete: beams change their minds until the end. */
async function atOnce(
  model: Model,
  tokenizer: AnyTokenizer,
  prompt: string,
  config: Config,
  signal: AbortSignal,
): Promise<Written> {
  const generating = model.generate(prompt, { ...config, tokenizer, signal });
  const { texts, sequences } = await generating.catch((error) => {
    throw usageErrorOf(error, inFlags);
  });
  const start = model.isEncoderDecoder ? 1 : tokenizer.encode(prompt).length;
  const shown = model.isEncoderDecoder ? texts : texts.map((each) => prompt + each);
  process.stdout.write(`${shown.join("\n")}\n`);
  return { texts, tokens: sequences.reduce((sum, { length }) => sum + length - start, 0) };
}

export const command = defineCommand({
  usage: '--model FOLDER --prompt "TEXT" [options]',
  notes:
    "Encoder–decoder models write what they make of the prompt, others go on from it. Options that are not given are " +
    "those of the model's generation_config.json. Ctrl-C ends the text with the token that is being computed.",
  options: {
    ...modelOptions,
    prompt: text("TEXT", "the beginning of the text, or what is to be translated (default: stdin)"),
    promptFile: text("FILE", 'the same from a file; "-" is stdin'),
    ...generationOptions,
    json: flag("prints one JSON object as the last line of stdout"),
  },
  async run({ model: folder, prompt: given, promptFile, device, dtype, json, ...options }, signal) {
    const prompt = await readPrompt(given, promptFile);
    const model = await loadGenerativeModel(folder, { device, dtype });
    const tokenizer = await loadTokenizer(folder);
    checkVocabulary(folder, tokenizer, model.config.vocabSize);
    if (prompt === "") throw new UsageError("--prompt must have at least one character");
    checkCharacters("--prompt", prompt, tokenizer, folder);
    const promptLength = model.isEncoderDecoder ? 1 : tokenizer.encode(prompt).length;
    const config = generationConfigOf(options, model, tokenizer, promptLength);
    signal.throwIfAborted();

    const start_ms = performance.now();
    const beams = config.numBeams ?? model.generationConfig.numBeams ?? 1;
    const sequences = config.numReturnSequences ?? model.generationConfig.numReturnSequences ?? 1;
    const isStreamed = beams === 1 && sequences === 1;
    const write = isStreamed ? streamed : atOnce;
    const { texts, tokens } = await write(model, tokenizer, prompt, config, signal);
    const seconds = (performance.now() - start_ms) / 1000;
    if (json) {
      const speed = { tokens, seconds, tokensPerSecond: tokens / seconds };
      const result = { prompt, text: texts[0]!, ...(texts.length > 1 && { texts }), ...speed };
      console.log(JSON.stringify({ ...result, interrupted: signal.aborted }));
    }
    return signal.aborted ? exitCodes.interrupted : exitCodes.done;
  },
});
