import { defineCommand, exitCodes } from "./command.ts";
import { loadTokenizer } from "./model-folder.ts";
import { defaultsTo, flag, positional, text, texts } from "./options.ts";
import { readStdin } from "./stdin.ts";
import { UsageError } from "./usage-error.ts";

export const command = defineCommand({
  usage: "--tokenizer FOLDER [ID…] [options]",
  options: {
    ids: positional(texts("ID", "token ids (default: from stdin, between white space)")),
    tokenizer: defaultsTo("tokenizer", text("FOLDER", "with tokenizer.json, or a GGUF file")),
    skipSpecialTokens: flag("leaves out special tokens"),
  },
  async run({ ids, tokenizer: folder, skipSpecialTokens }) {
    const tokenizer = await loadTokenizer(folder);
    const words = ids.length > 0 ? ids : (await readStdin()).split(/\s+/).filter(Boolean);
    const numbers = words.map((word) => {
      if (/^\d+$/.test(word)) return Number(word);
      throw new UsageError(`ID must be an integer of at least 0; got ${JSON.stringify(word)}`);
    });
    process.stdout.write(`${tokenizer.decode(numbers, { skipSpecialTokens })}\n`);
    return exitCodes.done;
  },
});
