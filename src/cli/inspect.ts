import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import path from "node:path";
import { ArgumentError, Seq2SeqLM, survey, type TraceInput, trace, writeReport } from "../index.ts";
import { showBytes } from "../print.ts";
import { defineCommand, exitCodes } from "./command.ts";
import { unlessAborted } from "./interrupts.ts";
import { checkCharacters, checkVocabulary, loadModel, loadTokenizer, modelOptions } from "./model-folder.ts";
import { defaultsTo, flag, integer, number, required, text, type Values } from "./options.ts";
import { Status } from "./status.ts";
import { UsageError } from "./usage-error.ts";

const options = {
  ...modelOptions,
  text: required(text("TEXT", "that the model reads")),
  target: text("TEXT", "encoder–decoders: what is to be written (nothing but its beginning)"),
  out: defaultsTo("report.html", text("FILE", "the page: one file, which asks the network for nothing")),
  title: text("TITLE", "of the page (the folder's name)"),
  seconds: defaultsTo(30, number(0, "for what is measured by leaving messages out")),
  maxSize: defaultsTo(
    5e6,
    integer(100_000, "bytes of the page at most; long texts keep less of their attention"),
  ),
  save: text("FILE", "also all messages and their gradients, exactly, as safetensors"),
  json: flag("prints one JSON object"),
};

/** What the model reads, which for an encoder–decoder has two sides. */
function inputOf(model: unknown, { text, target, model: folder }: Values<typeof options>): TraceInput {
  if (model instanceof Seq2SeqLM) return { source: text, ...(target !== undefined && { target }) };
  if (target === undefined) return text;
  throw new UsageError(
    `--target is for encoder–decoders; got a ${(model as object).constructor.name} in ${folder}`,
  );
}

/** @throws ArgumentError on a file that cannot be written, before anything is measured for it */
async function checkWritable(name: string, file: string): Promise<void> {
  const isFolder = (place: string) => stat(place).then((found) => found.isDirectory());
  if (await isFolder(file).catch(() => false)) {
    throw new ArgumentError(`${name} must be a file; got the folder ${file}`);
  }
  try {
    const folder = path.dirname(file);
    if (!(await isFolder(folder))) throw new Error(`${folder} is no folder`);
    await access(folder, constants.W_OK);
  } catch (cause) {
    throw new ArgumentError(`${name} ${file}: cannot be written: ${(cause as Error).message}`);
  }
}

export const command = defineCommand({
  usage: '--text "TEXT" [options]',
  notes:
    "Writes a page that tells what the model expected at each token, where that came from, which heads mattered and what\n" +
    "they read, when the layers made up their mind, and how loud each part was.",
  options,
  async run(o, signal) {
    if (o.text === "") throw new ArgumentError("--text must have a token at least; got an empty text");
    await checkWritable("--out", o.out);
    if (o.save !== undefined) await checkWritable("--save", o.save);
    const model = await loadModel(o.model, o);
    const tokenizer = await loadTokenizer(o.model);
    const { config } = model as { config?: { vocabSize?: number; contextLength?: number } };
    const { vocabSize = Infinity, contextLength = Infinity } = config ?? {};
    checkVocabulary(o.model, tokenizer, vocabSize);
    for (const [name, given] of Object.entries({ "--text": o.text, "--target": o.target ?? "" })) {
      checkCharacters(name, given, tokenizer, o.model);
      const { length } = tokenizer.encode(given);
      if (length <= contextLength) continue;
      const most = `${contextLength} tokens, as many as the model reads`;
      throw new ArgumentError(`${name} must have at most ${most}; got ${length}`);
    }
    const input = inputOf(model, o);
    const status = new Status();
    const found = await unlessAborted(signal, () =>
      survey(model, input, {
        ...{ tokenizer, signal, seconds: o.seconds },
        onProgress: (what, share) => status.update(what, `${Math.round(100 * share)} %`),
      }),
    );
    status.end();
    if (found === undefined || signal.aborted) return exitCodes.interrupted;
    const title = o.title ?? path.basename(path.resolve(o.model));
    await writeReport(o.out, found, { title, maxSize: o.maxSize });
    if (o.save !== undefined) {
      const gradOf = found.loss === undefined ? {} : { gradOf: "loss" as const };
      await using all = await trace(model, input, { keep: "all", ...gradOf, tokenizer });
      await all.save(o.save);
    }
    const { notMeasured, tokens, seconds } = found;
    if (o.json) {
      const { out, save = null } = o;
      console.log(
        JSON.stringify({ out, save, tokens: tokens.length, loss: found.loss ?? null, seconds, notMeasured }),
      );
      return exitCodes.done;
    }
    const { size } = await stat(o.out);
    console.log(`${o.out}: ${tokens.length} tokens, ${showBytes(size)}, measured in ${seconds.toFixed(1)} s`);
    for (const what of notMeasured) console.log(`  not measured: ${what}`);
    return exitCodes.done;
  },
});
