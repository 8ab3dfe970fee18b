import { BertForSequenceClassification, CausalLM, CheckpointError, Seq2SeqLM, Tokenizer } from "../index.ts";
import { showBytes } from "../print.ts";
import { defineCommand, exitCodes } from "./command.ts";
import { checkClassifier, evaluateClassifier, labelIndex } from "./eval-classifier.ts";
import { evaluateText } from "./eval-language-model.ts";
import { evaluateSeq2Seq } from "./eval-seq2seq.ts";
import { lengthOf } from "./generation-options.ts";
import { checkCharacters, checkVocabulary, loadModel, loadTokenizer, modelOptions } from "./model-folder.ts";
import { defaultsTo, flag, integer, required, text, type Values } from "./options.ts";
import { flagOf } from "./parse-options.ts";
import { readFields, textOf } from "./records.ts";
import { Status } from "./status.ts";
import { readTextFile } from "./text-file.ts";
import { UsageError } from "./usage-error.ts";

const options = {
  ...modelOptions,
  data: required(text("FILE", "a text; for classifiers and encoder–decoders .jsonl, .csv, .tsv or .parquet")),
  batch: defaultsTo(8, integer(1, "windows, texts or pairs at a time")),
  context: integer(1, "language models: tokens seen at once (as many as the model takes)"),
  stride: integer(1, "language models: tokens from a window to the next (--context)"),
  text: text("FIELD", "classifiers: with the text (text)"),
  textPair: text("FIELD", "classifiers: with a second text"),
  label: text("FIELD", "classifiers: with the class, its name or number (label)"),
  source: text("FIELD", "encoder–decoders: with what is read (source)"),
  target: text("FIELD", "encoder–decoders: with what should be written (target)"),
  maxNewTokens: integer(1, "encoder–decoders: tokens at most (the model's, else 200 or what fits)"),
  numBeams: integer(1, "encoder–decoders: beams of beam search (the model's, else 1)"),
  limit: integer(1, "so many records only"),
  json: flag("prints one JSON object"),
};
type O = Values<typeof options>;

const kinds = {
  "language models": ["context", "stride"],
  classifiers: ["text", "textPair", "label", "limit"],
  "encoder–decoders": ["source", "target", "maxNewTokens", "numBeams", "limit"],
} as const satisfies Record<string, readonly (keyof O)[]>;

/** What was measured: numbers for JSON, and lines to read. */
interface Outcome {
  numbers: Record<string, unknown>;
  lines: string[];
}

/** @throws UsageError on options that only other kinds of models read */
function checkRead(o: O, kind: keyof typeof kinds): void {
  const read: readonly string[] = kinds[kind];
  for (const name of Object.values(kinds).flat()) {
    if (o[name] === undefined || read.includes(name)) continue;
    throw new UsageError(`${flagOf(name)} is not for ${kind}; got a ${kind.slice(0, -1)} in ${o.model}`);
  }
}

interface Progress {
  signal: AbortSignal;
  batchSize: number;
  onProgress(done: number, total: number): void;
}

const rows = (numbers: Record<string, [value: number, digits: number, unit?: string]>): string[] =>
  Object.entries(numbers).map(([name, [value, digits, unit = ""]]) =>
    `  ${name.padEnd(15)}${value.toFixed(digits).padStart(10)}  ${unit}`.trimEnd(),
  );

async function ofText(model: CausalLM, o: O, progress: Progress): Promise<Outcome> {
  checkRead(o, "language models");
  const most = model.config.contextLength;
  const contextLength = o.context ?? most;
  const stride = o.stride ?? contextLength;
  if (contextLength > most) throw new UsageError(`--context must be at most ${most}; got ${contextLength}`);
  if (stride > contextLength) {
    throw new UsageError(`--stride must be at most --context; got ${stride} and ${contextLength}`);
  }
  const tokenizer = await loadTokenizer(o.model);
  checkVocabulary(o.model, tokenizer, model.config.vocabSize);
  const { text } = await readTextFile(o.data);
  checkCharacters(o.data, text, tokenizer, o.model);
  const numbers = await evaluateText(
    model,
    tokenizer,
    { text, source: o.data },
    { contextLength, stride, ...progress },
  );
  const { loss, perplexity, bitsPerByte, tokens, bytes } = numbers;
  return {
    numbers: { task: "language model", ...numbers, contextLength, stride },
    lines: [
      `${o.data}: ${tokens} tokens of ${showBytes(bytes)}, ${contextLength} at once`,
      ...rows({
        loss: [loss, 4, "nats a token"],
        perplexity: [perplexity, 3],
        "bits per byte": [bitsPerByte, 4],
      }),
    ],
  };
}

async function ofClassifier(
  model: BertForSequenceClassification,
  o: O,
  progress: Progress,
): Promise<Outcome> {
  checkRead(o, "classifiers");
  checkClassifier(o.model, model);
  const tokenizer = await Tokenizer.fromPretrained(o.model);
  checkVocabulary(o.model, tokenizer, model.config.vocabSize);
  const fields = [o.text ?? "text", o.label ?? "label", ...(o.textPair === undefined ? [] : [o.textPair])];
  const records = await readFields(o.data, fields, o.limit);
  const labels = Int32Array.from(records, ([, label], i) =>
    labelIndex(model.labels, label, `${o.data}: record ${i + 1}`),
  );
  const texts = records.map(([first, , second], i) => {
    const text = textOf(o.data, first, i);
    return second === undefined ? text : ([text, textOf(o.data, second, i)] as const);
  });
  const { report, ...numbers } = await evaluateClassifier(model, tokenizer, { texts, labels }, progress);
  return {
    numbers: { task: "classification", records: texts.length, ...numbers, classes: report.classes },
    lines: [
      `${o.data}: ${texts.length} records, ${model.labels.length} classes`,
      ...rows({
        loss: [numbers.loss, 4, "nats a record"],
        accuracy: [numbers.accuracy, 4],
        "F1, macro": [numbers.f1Macro, 4],
        "F1, weighted": [numbers.f1Weighted, 4],
      }),
      "",
      String(report).trimEnd(),
    ],
  };
}

async function ofPairs(model: Seq2SeqLM, o: O, progress: Progress): Promise<Outcome> {
  checkRead(o, "encoder–decoders");
  const tokenizer = await loadTokenizer(o.model);
  checkVocabulary(o.model, tokenizer, model.config.vocabSize);
  const records = await readFields(o.data, [o.source ?? "source", o.target ?? "target"], o.limit);
  const texts = (column: 0 | 1) => records.map((record, i) => textOf(o.data, record[column], i));
  const length = o.maxNewTokens === undefined ? lengthOf(model, 1) : { maxNewTokens: o.maxNewTokens };
  const beams = o.numBeams === undefined ? {} : { numBeams: o.numBeams };
  const generation = { ...length, ...beams, doSample: false, seed: 0 };
  const pairs = { sources: texts(0), references: texts(1) };
  const { outputs, ...numbers } = await evaluateSeq2Seq(model, tokenizer, pairs, { generation, ...progress });
  return {
    numbers: { task: "sequence to sequence", records: outputs.length, ...numbers },
    lines: [
      `${o.data}: ${outputs.length} pairs`,
      ...rows({
        BLEU: [numbers.bleu, 2],
        chrF: [numbers.chrF, 2],
        "ROUGE-1": [numbers.rouge1, 2],
        "ROUGE-2": [numbers.rouge2, 2],
        "ROUGE-L": [numbers.rougeL, 2],
        identical: [numbers.identical, 2, "%"],
      }),
    ],
  };
}

export const command = defineCommand({
  usage: "--model FOLDER --data FILE [options]",
  notes:
    "Language models: loss, perplexity and bits per byte of a text, of which each token but the first counts once; a " +
    "stride below the context gives each more text before it. Classifiers: accuracy, F1 and a table of classes. " +
    "Encoder–decoders: BLEU, chrF and ROUGE of what they write.",
  options,
  async run(o, signal) {
    const start_ms = performance.now();
    const model: unknown = await loadModel(o.model, o);
    signal.throwIfAborted();
    const status = new Status();
    const progress = {
      signal,
      batchSize: o.batch,
      onProgress: (done: number, total: number) => status.update("evaluating", `${done}/${total}`),
    };
    let outcome: Outcome;
    try {
      if (model instanceof CausalLM) outcome = await ofText(model, o, progress);
      else if (model instanceof BertForSequenceClassification)
        outcome = await ofClassifier(model, o, progress);
      else if (model instanceof Seq2SeqLM) outcome = await ofPairs(model, o, progress);
      else {
        const { name } = (model as object).constructor;
        throw new CheckpointError(
          `${o.model}: must hold a model that writes or classifies texts; got ${name}`,
        );
      }
    } finally {
      status.end();
    }
    const seconds = (performance.now() - start_ms) / 1000;
    if (o.json) console.log(JSON.stringify({ model: o.model, data: o.data, ...outcome.numbers, seconds }));
    else console.log(outcome.lines.join("\n"));
    return exitCodes.done;
  },
});
