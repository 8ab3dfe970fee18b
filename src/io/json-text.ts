import { CheckpointError, show } from "../errors.ts";
import { FileBytes } from "./file-bytes.ts";
import { type Fail, isRecord } from "./stored-tensor.ts";

/** Deeper than any file of a checkpoint; brackets in brackets take far more memory than the text that says so. */
const maxDepth = 64;
const maxBytes = 100_000_000;

/**
 * Refuses a key that some object has twice (`JSON.parse` would keep the last one and say nothing) and deep nesting.
 * What is no JSON passes.
 */
function checkStructure(json: string, fail: Fail): void {
  const open: (Set<string> | undefined)[] = [];
  let keys: Set<string> | undefined;
  let atKey = false;
  for (let i = 0; i < json.length; i++) {
    switch (json[i]) {
      case "{":
        open.push((keys = new Set()));
        atKey = true;
        break;
      case "[":
        open.push((keys = undefined));
        break;
      case "}":
      case "]":
        open.pop();
        keys = open.at(-1);
        break;
      case ",":
        atKey = keys !== undefined;
        break;
      case '"': {
        const start = i;
        while (++i < json.length && json[i] !== '"') if (json[i] === "\\") i++;
        if (!atKey || keys === undefined) break;
        const text = json.slice(start + 1, i);
        const key = text.includes("\\") ? unescaped(text) : text;
        if (keys.has(key)) fail(`must have each key once; got ${show(key)} twice`);
        keys.add(key);
        atKey = false;
      }
    }
    if (open.length > maxDepth) fail(`must be nested at most ${maxDepth} deep`);
  }
}

function unescaped(text: string): string {
  try {
    return JSON.parse(`"${text}"`) as string;
  } catch {
    return text;
  }
}

/**
 * The value that these bytes are the JSON of.
 *
 * @param fail is given a problem that reads on after the name of what the bytes are: "must be JSON in UTF-8; got …"
 */
export function parseJSON(bytes: Uint8Array, fail: Fail): unknown {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    checkStructure(text, fail);
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof CheckpointError) throw error;
    return fail(`must be JSON in UTF-8; got ${(error as Error).message}`);
  }
}

/** The object that these bytes are the JSON of; see {@link parseJSON}. */
export function parseObject(bytes: Uint8Array, fail: Fail): Record<string, unknown> {
  const value = parseJSON(bytes, fail);
  return isRecord(value) ? value : fail(`must be a JSON object; got ${show(value)}`);
}

/** The value in the JSON file `path`. @throws ERR_CHECKPOINT */
export async function readJSON(path: string): Promise<unknown> {
  const fail: Fail = (problem) => {
    throw new CheckpointError(`${path}: ${problem}`);
  };
  const file = await FileBytes.open(path, { map: false });
  if (file.size > maxBytes) fail(`must have at most ${maxBytes} bytes; got ${file.size}`);
  return parseJSON(file.bytes(0, file.size), fail);
}
