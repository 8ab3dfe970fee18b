/** This library's side of test/golden/real_sizes.py: reads the model in a folder, writes what it computes. */
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { Bert, BertForMaskedLM, GPT, Llama, noGrad, T5, tensor } from "../../dist/index.js";

const [name, folder] = process.argv.slice(2);
const rows = JSON.parse(await readFile(path.join(folder, "ids.json"), "utf8"));
const [B, T] = [rows.length, rows[0].length];
const models = {
  gpt2: GPT,
  "bert-base": BertForMaskedLM,
  "t5-small": T5,
  "minilm-l6": Bert,
  "smollm2-135m": Llama,
};
const model = (await models[name].fromPretrained(folder)).eval();
const ids = tensor(Int32Array.from(rows.flat()), [B, T]);
const input = {};
if (name === "t5-small") {
  const start = model.config.decoderStartTokenId;
  const decoder = rows.flatMap((row) => [start, ...row.slice(0, 15)]);
  input.decoderInputIds = tensor(Int32Array.from(decoder), [B, 16]);
}
const output = noGrad(() => model(ids, input));
const values = await (output.logits ?? output.lastHiddenState).toTypedArray();
await writeFile(
  path.join(folder, "output.f32"),
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
);
let tokens;
if ("generate" in model) {
  const { sequences } = await model.generate([Int32Array.from(rows[0])], {
    maxNewTokens: 20,
    eosTokenId: null,
  });
  tokens = [...sequences[0]].slice(-20);
}
await writeFile(path.join(folder, "output.json"), JSON.stringify({ tokens }));
