import {
  ArgumentError,
  AutoModelForCausalLM,
  CharTokenizer,
  CheckpointError,
  fromGGUFTokenizer,
  openGGUF,
  Tokenizer,
} from "../index.ts";
import {
  defaultsTo,
  defineCommand,
  flag,
  integer,
  interrupted,
  number,
  oneOf,
  required,
  text,
} from "./command.ts";

interface Drawing {
  temperature: number;
  topK: number;
  topP: number;
  seed: number;
}

/** How to generate: by drawing, or at temperature 0 greedily. */
export const drawing = ({ temperature, topK, topP, seed }: Drawing) =>
  temperature === 0 ? {} : { doSample: true, temperature, topK, topP, seed };

/** Of characters, as trainformer train saves it, or any of Hugging Face's kinds. */
async function loadTokenizer(location: string): Promise<CharTokenizer | Tokenizer> {
  if (location.endsWith(".gguf")) {
    return Tokenizer.fromJSON(fromGGUFTokenizer(await openGGUF(location)).tokenizer);
  }
  return CharTokenizer.load(location).catch(() => Tokenizer.fromPretrained(location));
}

function checkCharacters(prompt: string, { vocabulary }: CharTokenizer, folder: string): void {
  const foreign = [...new Set(prompt)].filter((character) => !vocabulary.includes(character));
  if (foreign.length === 0) return;
  const list = foreign.map((character) => JSON.stringify(character)).join(", ");
  throw new ArgumentError(`--prompt must have characters of the vocabulary of ${folder} only; got ${list}`);
}

export const command = defineCommand({
  usage: '--model FOLDER --prompt "TEXT" [options]',
  options: {
    model: defaultsTo(
      "run",
      text("FOLDER", "what trainformer train or Hugging Face has saved, or a GGUF file"),
    ),
    prompt: required(text("TEXT", "the beginning of the text")),
    tokens: defaultsTo(200, integer(0, "how many to draw")),
    temperature: defaultsTo(0.8, number(0, "below 1 sharpens, above 1 flattens, 0 takes the likeliest")),
    topK: defaultsTo(40, integer(0, "draws among the k likeliest; 0: among all")),
    topP: defaultsTo(1, number(0, "draws among the likeliest that together have this probability", 1)),
    seed: defaultsTo(0, integer(0, "the same seed draws the same text")),
    device: defaultsTo("cpu", oneOf(["cpu", "cuda"], "that computes")),
    json: flag("prints one JSON object as the last line of stdout"),
  },
  async run({ model: folder, prompt, tokens, device, json, ...sampling }, signal) {
    const model = (await AutoModelForCausalLM.fromPretrained(folder)).to(device);
    const tokenizer = await loadTokenizer(folder);
    if (tokenizer.size > model.config.vocabSize) {
      const sizes = `${tokenizer.size} tokens, the model ${model.config.vocabSize}`;
      throw new CheckpointError(`${folder}: tokenizer.json has ${sizes}`);
    }
    if (prompt === "") throw new ArgumentError("--prompt must have at least one character");
    if (tokenizer instanceof CharTokenizer) checkCharacters(prompt, tokenizer, folder);
    const start_ms = performance.now();
    let generated = "";
    let count = 0;
    process.stdout.write(prompt);
    try {
      for await (const piece of model.stream(prompt, {
        tokenizer,
        maxNewTokens: tokens,
        signal,
        ...drawing(sampling),
      })) {
        process.stdout.write(piece);
        generated += piece;
        count++;
      }
    } catch (error) {
      if (error !== signal.reason) throw error;
    }
    process.stdout.write("\n");
    const seconds = (performance.now() - start_ms) / 1000;
    if (json) {
      const result = { prompt, text: generated, tokens: count, seconds, tokensPerSecond: count / seconds };
      console.log(JSON.stringify({ ...result, interrupted: signal.aborted }));
    }
    return signal.aborted ? interrupted : 0;
  },
});
