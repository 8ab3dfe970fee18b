import { defineCommand, exitCodes } from "./command.ts";
import { loadTokenizer } from "./model-folder.ts";
import { defaultsTo, flag, positional, text } from "./options.ts";
import { readStdin } from "./stdin.ts";

export const command = defineCommand({
  usage: '--tokenizer FOLDER ["TEXT"] [options]',
  options: {
    text: positional(text("TEXT", "to encode (default: stdin)")),
    tokenizer: defaultsTo("tokenizer", text("FOLDER", "with tokenizer.json, or a GGUF file")),
    noSpecialTokens: flag("leaves out the special tokens that the tokenizer puts around a text"),
    tokens: flag("prints the tokens, one a line as a JSON string, behind their ids"),
  },
  async run({ text: given, tokenizer: folder, noSpecialTokens, tokens }) {
    const tokenizer = await loadTokenizer(folder);
    const ids = [...tokenizer.encode(given ?? (await readStdin()), { addSpecialTokens: !noSpecialTokens })];
    const lines = tokens
      ? ids.map((id) => `${id}\t${JSON.stringify(tokenizer.idToToken(id))}`)
      : [ids.join(" ")];
    process.stdout.write(`${lines.join("\n")}\n`);
    return exitCodes.done;
  },
});
