import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { fromBf16 } from "../src/dtype.ts";
import { fromGGUF, openCheckpoint, openGGUF, type StoredTensor, Tokenizer } from "../src/index.ts";
import { cli, failure, lastLine } from "./cli-run.ts";

const { folder, inFolder, trainformer } = cli("cli-convert");
const golden = (name: string) => fileURLToPath(new URL(`golden/${name}`, import.meta.url));
const convert = (...args: string[]) => trainformer(["convert", ...args]);

const tensorsOf = async (location: string) => {
  const checkpoint = location.endsWith(".gguf")
    ? fromGGUF(await openGGUF(location)).checkpoint
    : await openCheckpoint(location);
  const names = [...checkpoint.names()].sort();
  return new Map(names.map((name) => [name, checkpoint.get(name)]));
};
const configOf = (name: string) => JSON.parse(readFileSync(inFolder(`${name}/config.json`), "utf8"));

/** The largest difference between two checkpoints, relative to the largest value of each tensor. */
async function difference(a: string, b: string): Promise<number> {
  const [ours, theirs] = await Promise.all([tensorsOf(a), tensorsOf(b)]);
  expect([...ours.keys()]).toEqual([...theirs.keys()]);
  let worst = 0;
  const valuesOf = ({ dtype, data }: StoredTensor) =>
    dtype === "bf16" ? fromBf16(data as Uint16Array) : (data as Float32Array);
  for (const [name, tensor] of theirs) {
    expect(ours.get(name)!.shape, name).toEqual(tensor.shape);
    const [got, expected] = [valuesOf(ours.get(name)!), valuesOf(tensor)];
    const scale = expected.reduce((max, x) => Math.max(max, Math.abs(x)), 1e-30);
    expected.forEach((x, i) => {
      worst = Math.max(worst, Math.abs(x - got[i]!) / scale);
    });
  }
  return worst;
}

describe("trainformer convert", () => {
  it.concurrent.each(["llama", "gpt2", "qwen3"])(
    "takes %s out of GGUF and back, tokenizer and all",
    async (name) => {
      const file = golden(`gguf-${name}.gguf`);
      const out = await convert(file, name, "--json");
      expect([out.code, out.stderr]).toEqual([0, ""]);
      expect(lastLine(out.stdout)).toMatchObject({ out: name, tensors: (await tensorsOf(file)).size });
      expect(await difference(inFolder(name), file)).toBe(0);
      const back = await convert(name, `${name}.gguf`, "--type", "F32");
      expect([back.code, back.stderr]).toEqual([0, ""]);
      expect(await difference(inFolder(`${name}.gguf`), inFolder(name))).toBe(0);
      expect(await difference(inFolder(`${name}.gguf`), file)).toBe(0);

      const generate = (model: string) =>
        trainformer(["generate", "--model", model, "--prompt", "ab", "--max-new-tokens", "8", "--greedy"]);
      const [before, after] = await Promise.all([generate(file), generate(name)]);
      expect(after.stdout).toBe(before.stdout);
    },
  );

  it.each([
    ["BF16", 2 ** -8],
    ["Q8_0", 1 / 127],
  ])("writes %s, from folders and from GGUF files", async (type, tolerance) => {
    const [fromFolder, fromFile] = [inFolder(`${type}.gguf`), inFolder(`${type}-2.gguf`)];
    await Promise.all([
      convert("llama", fromFolder, "--type", type),
      convert("llama.gguf", fromFile, "--type", type, "--name", "small"),
    ]);
    const gguf = await openGGUF(fromFile);
    expect(gguf.typeOf("blk.0.ffn_up.weight")).toBe(type);
    expect(gguf.metadata.get("general.name")?.value).toBe("small");
    const error = await difference(fromFolder, inFolder("llama"));
    expect(error).toBeGreaterThan(0);
    expect(error).toBeLessThan(tolerance);
    expect(await difference(fromFolder, fromFile)).toBe(0);
  });

  it("changes shards and dtype of a folder, and keeps its other files", async () => {
    cpSync(golden("encoders/bert"), inFolder("bert"), { recursive: true });
    writeFileSync(inFolder("bert/tokenizer_config.json"), '{"model_max_length":12}');
    writeFileSync(inFolder("bert/pytorch_model.bin"), "old");
    const { code, stderr } = await convert("bert", "sharded", "--type", "BF16", "--max-shard-size", "4KB");
    expect([code, stderr]).toEqual([0, ""]);
    const files = readdirSync(inFolder("sharded"));
    expect(files.filter((name) => /^model-0000\d-of-0000\d\.safetensors$/.test(name)).length).toBeGreaterThan(
      2,
    );
    expect(files).toContain("1_Pooling");
    expect(files).toContain("tokenizer_config.json");
    expect(files).not.toContain("pytorch_model.bin");
    expect(configOf("sharded")).toEqual({ ...configOf("bert"), dtype: "bfloat16" });
    const tensors = await tensorsOf(inFolder("sharded"));
    expect([...tensors.values()].every(({ dtype }) => dtype === "bf16")).toBe(true);

    const back = await convert("sharded", "whole", "--type", "F32", "--no-tokenizer");
    expect(back.code, back.stderr).toBe(0);
    expect(readdirSync(inFolder("whole"))).toContain("model.safetensors");
    expect(readdirSync(inFolder("whole"))).not.toContain("tokenizer_config.json");
    const error = await difference(inFolder("whole"), inFolder("bert"));
    expect(error).toBeGreaterThan(0);
    expect(error).toBeLessThan(2 ** -8);
  });

  it("replaces nothing without --force, and with it what is there but no more", async () => {
    writeFileSync(inFolder("taken.gguf"), "mine");
    const refused = await convert("llama", "taken.gguf");
    expect([refused.code, readFileSync(inFolder("taken.gguf"), "utf8")]).toEqual([2, "mine"]);
    expect((await convert("llama", "taken.gguf", "--force")).code).toBe(0);
    expect(await difference(inFolder("taken.gguf"), inFolder("llama"))).toBe(0); // values that fit into F16

    writeFileSync(inFolder("sharded/notes.txt"), "mine");
    expect((await convert("llama", "sharded")).code).toBe(2);
    expect((await convert("llama", "sharded", "--force")).code).toBe(0);
    expect(await difference(inFolder("sharded"), inFolder("llama"))).toBe(0);
    const files = readdirSync(inFolder("sharded"));
    expect(files.filter((name) => name.endsWith(".safetensors"))).toEqual(["model.safetensors"]);
    expect(files).toContain("notes.txt");
  });

  it("leaves nothing behind when it fails", async () => {
    cpSync(inFolder("llama"), inFolder("broken"), { recursive: true });
    const file = inFolder("broken/model.safetensors");
    writeFileSync(file, readFileSync(file).subarray(0, 5000));
    for (const out of ["broken.gguf", "broken-out"]) {
      const { code, stderr } = await convert("broken", out);
      expect([code, existsSync(inFolder(out))]).toEqual([1, false]);
      expect(stderr).toContain("broken/model.safetensors");
    }
    writeFileSync(inFolder("llama/chat_template.jinja"), "{{ messages }}");
    rmSync(inFolder("llama/tokenizer.json"));
    expect((await convert("llama", "no-tokenizer.gguf")).stderr).toContain("must hold tokenizer.json");
    expect(readdirSync(folder).filter((name) => /tmp|no-tokenizer/.test(name))).toEqual([]);
  });

  it.each([
    ["a", 2, "OUT is required"],
    ["a a", 2, "IN and OUT must differ; got a"],
    ["a b c", 2, "unexpected argument c"],
    ["a b --type Q8_0", 2, "--type must be F32 or BF16 where OUT is a folder; got Q8_0"],
    ["a b.gguf --type Q2_K", 2, "--type must be one of F32, F16, BF16, Q8_0, Q4_0"],
    ["a b.gguf --max-shard-size 1GB", 2, "--max-shard-size needs a folder as OUT"],
    ["none b.gguf", 1, "none/config.json: cannot be read"],
    ["none.gguf b", 1, "none.gguf: cannot be read"],
    ["qwen3 b --max-shard-size 3XB", 2, "--max-shard-size must be a number of bytes"],
    [
      "bert b.gguf --no-tokenizer",
      1,
      "model_type must be one of llama, mistral, qwen2, qwen3, gpt2; got 'bert'",
    ],
  ])("%s: exit code %i", async (line, expectedCode, expected) => {
    const { message, exitCode } = await failure(`convert ${line}`);
    expect(message).toContain(expected);
    expect(message).toMatch(/^trainformer [a-z ]+: [^\n]+$/);
    expect(exitCode).toBe(expectedCode);
    expect(existsSync(inFolder("b"))).toBe(false);
  });

  it("keeps the tokenizer's chat template", async () => {
    cpSync(inFolder("qwen3"), inFolder("chat"), { recursive: true });
    writeFileSync(inFolder("chat/chat_template.jinja"), "{{ messages[0].content }}!");
    await convert("chat", "chat.gguf");
    await convert("chat.gguf", "chat-again");
    const messages = [{ role: "user", content: "hello" }];
    const tokenizer = await Tokenizer.fromPretrained(inFolder("chat-again"));
    expect(tokenizer.applyChatTemplate(messages, { tokenize: false })).toBe("hello!");
    expect(path.extname((await openGGUF(inFolder("chat.gguf"))).source)).toBe(".gguf");
  });
});
