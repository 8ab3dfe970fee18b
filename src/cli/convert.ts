import path from "node:path";
import { ArgumentError, type StoredTensor } from "../index.ts";
import { exists } from "../io/files.ts";
import { countElements } from "../io/stored-tensor.ts";
import { showBytes } from "../print.ts";
import { defineCommand, exitCodes } from "./command.ts";
import { openSource, type Source, writeFolder, writeGGUFFile } from "./model-formats.ts";
import { flag, oneOf, positional, required, text } from "./options.ts";
import { Status } from "./status.ts";
import { UsageError } from "./usage-error.ts";

const types = ["F32", "F16", "BF16", "Q8_0", "Q4_0"] as const;

/** Tensors that tell when their turn comes, and end the writing when `signal` aborts. */
function followed(tensors: Source["tensors"], status: Status, signal: AbortSignal): Source["tensors"] {
  let done = 0;
  return tensors.map(([name, tensor]): [string, StoredTensor] => {
    const { dtype, shape } = tensor;
    return [
      name,
      {
        dtype,
        shape,
        get data() {
          signal.throwIfAborted();
          status.update("tensors", `${Math.min(++done, tensors.length)}/${tensors.length}`);
          return tensor.data;
        },
      },
    ];
  });
}

export const command = defineCommand({
  usage: "IN OUT [options]",
  notes:
    "IN and OUT are folders of Hugging Face (config.json, safetensors, tokenizer) or files that end in .gguf. Nothing " +
    "appears under the name OUT before all of it is written. What is F16 in IN is F32 in a folder.",
  options: {
    input: required(positional(text("IN", "folder or GGUF file"))),
    output: required(positional(text("OUT", "folder or GGUF file"))),
    type: oneOf(types, "of matrices in GGUF (F16), of all tensors in a folder (as in IN)"),
    maxShardSize: text("SIZE", 'of a file with tensors in a folder, such as "5GB" (50GB)'),
    name: text("TEXT", "of the model, in a GGUF file (the name of IN)"),
    noTokenizer: flag("leaves the tokenizer out"),
    force: flag("replaces what is there under the name OUT"),
    json: flag("prints one JSON object"),
  },
  async run({ input, output, type, maxShardSize, name, noTokenizer, force, json }, signal) {
    const isGGUF = output.endsWith(".gguf");
    if (path.resolve(input) === path.resolve(output))
      throw new UsageError(`IN and OUT must differ; got ${input}`);
    if (isGGUF && maxShardSize !== undefined) throw new UsageError("--max-shard-size needs a folder as OUT");
    if (!isGGUF && name !== undefined) throw new UsageError("--name needs a GGUF file as OUT");
    if (!isGGUF && type !== undefined && type !== "F32" && type !== "BF16") {
      throw new UsageError(`--type must be F32 or BF16 where OUT is a folder; got ${type}`);
    }
    if (!force && (await exists(output))) {
      throw new UsageError(`OUT must be a name that is not taken, unless there is --force; got ${output}`);
    }
    const source = await openSource(input, { noTokenizer });
    const status = new Status();
    const tensors = followed(source.tensors, status, signal);
    let bytes: number;
    try {
      const followedSource = { ...source, tensors };
      bytes = isGGUF
        ? await writeGGUFFile(output, followedSource, { type: type ?? "F16", name: name ?? nameOf(input) })
        : await writeFolder(output, followedSource, {
            type: type as "F32" | "BF16" | undefined,
            maxShardSize,
          });
    } catch (error) {
      const isSize = error instanceof ArgumentError && error.message.includes("maxShardSize");
      throw isSize ? new UsageError(error.message.replace(/^.*?maxShardSize/, "--max-shard-size")) : error;
    } finally {
      status.end();
    }
    const parameters = tensors.reduce((sum, [, { shape }]) => sum + countElements(shape), 0);
    if (json) console.log(JSON.stringify({ out: output, tensors: tensors.length, parameters, bytes }));
    else console.log(`${output}: ${tensors.length} tensors, ${showBytes(bytes)}`);
    return exitCodes.done;
  },
});

const nameOf = (location: string): string => path.basename(path.resolve(location)).replace(/\.gguf$/, "");
