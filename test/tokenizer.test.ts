import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ByteTokenizer, Tokenizer } from "../src/index.ts";
import { bertFiles, gpt2Files, hostileStrings, tokenizerOf, unigramJSON } from "./tokenizer-cases.ts";
import { compareWithNative } from "./tokenizer-native.ts";

let folder: string;
let bert: Tokenizer;
let gpt2: Tokenizer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tokenizer-"));
  [bert, gpt2] = await Promise.all([tokenizerOf(bertFiles()), tokenizerOf(gpt2Files())]);
});
afterAll(() => rm(folder, { recursive: true }));

describe("the vocabularies of older files", () => {
  test("GPT-2", () => {
    expect([...gpt2.encode("Hello world, transformers!")]).toEqual([15496, 995, 11, 6121, 364, 0]);
    expect([...gpt2.encode("a<|endoftext|>")]).toEqual([64, 50256]);
    expect([gpt2.size, gpt2.eosTokenId, gpt2.bosToken, gpt2.padTokenId]).toEqual([
      50257,
      50256,
      "<|endoftext|>",
      undefined,
    ]);
  });

  test("BERT", async () => {
    expect([...bert.encode("Hello, naïve World!")]).toEqual([101, 7592, 1010, 15743, 2088, 999, 102]);
    expect([...bert.encode("[MASK]", { addSpecialTokens: false })]).toEqual([103]);
    expect(bert.tokenize("unaffable")).toEqual(["una", "##ffa", "##ble"]);
    const ids = [
      bert.padTokenId,
      bert.unkTokenId,
      bert.clsTokenId,
      bert.sepTokenId,
      bert.maskTokenId,
      bert.size,
    ];
    expect(ids).toEqual([0, 100, 101, 102, 103, 30522]);
    const cased = await tokenizerOf(bertFiles({ do_lower_case: false }));
    expect(cased.tokenize("Hello hello naïve")).toEqual(["[UNK]", "hello", "[UNK]"]);
  });

  test("RoBERTa, with its post-processor and a mask that takes the space before it", async () => {
    const vocab = {
      ...JSON.parse(gpt2Files()["vocab.json"]),
      "<s>": 50257,
      "</s>": 50258,
      "<pad>": 50259,
      "<mask>": 50260,
    };
    const roberta = await tokenizerOf({ ...gpt2Files(), "vocab.json": JSON.stringify(vocab) });
    expect([...roberta.encode("Hello <mask>!")]).toEqual([50257, 15496, 50260, 0, 50258]);
    expect([roberta.padTokenId, roberta.maskTokenId, roberta.clsToken]).toEqual([50259, 50260, "<s>"]);
    await compareWithNative(roberta, hostileStrings(500, 8));
  });
});

describe("special tokens", () => {
  test("come from tokenizer_config.json and special_tokens_map.json, and are added where they are missing", async () => {
    const tokenizer = await tokenizerOf({
      "tokenizer.json": JSON.stringify(unigramJSON()),
      "tokenizer_config.json": JSON.stringify({
        eos_token: { __type: "AddedToken", content: "</s>", lstrip: false, rstrip: false, normalized: false },
        mask_token: "<mask>",
        model_max_length: 1e30,
        padding_side: "left",
        extra_special_tokens: ["<x>"],
      }),
      "special_tokens_map.json": JSON.stringify({ pad_token: "<pad>", additional_special_tokens: ["<y>"] }),
    });
    expect([tokenizer.eosTokenId, tokenizer.padTokenId, tokenizer.unkToken]).toEqual([1, 0, "<unk>"]);
    expect([tokenizer.maskTokenId, tokenizer.tokenToId("<x>"), tokenizer.tokenToId("<y>")]).toEqual([
      3000, 3001, 3002,
    ]);
    expect([tokenizer.size, tokenizer.paddingSide, tokenizer.modelMaxLength]).toEqual([
      3003,
      "left",
      undefined,
    ]);
    expect(tokenizer.decode([3000, 5, 3001], { skipSpecialTokens: true })).toBe("the");
    expect([...tokenizer.allSpecialIds]).toEqual([0, 1, 2, 3000, 3001, 3002]);
  });

  test("are added by hand", () => {
    const tokenizer = Tokenizer.fromJSON(unigramJSON());
    expect(tokenizer.padTokenId).toBeUndefined();
    expect(tokenizer.addSpecialTokens({ padToken: "<pad>", bosToken: "<s>" })).toBe(1);
    expect([tokenizer.padTokenId, tokenizer.bosTokenId]).toEqual([0, 3000]);
    expect(tokenizer.addTokens(["blockchain", "</s>", { content: "  q", rstrip: true }])).toBe(2);
    expect(tokenizer.size).toBe(3003);
    expect(tokenizer.tokenize("a blockchain  q  .")).toEqual(["▁a", "▁", "blockchain", "  q", "▁", "."]);
    expect(tokenizer.decode(tokenizer.encode("blockchain<s>"), { skipSpecialTokens: true })).toBe(
      "blockchain",
    );
    expect(() => tokenizer.addTokens([""])).toThrow("tokens must be well-formed and not empty; got ''");
    expect(() => tokenizer.addSpecialTokens({ endToken: "x" } as object)).toThrow(
      "names must be of bosToken",
    );
  });
});

test("a lone surrogate counts as U+FFFD", () => {
  const text = "a\ud83db";
  expect([...gpt2.encode(text)]).toEqual([...gpt2.encode("a\ufffdb")]);
  expect(gpt2.decode(gpt2.encode(text))).toBe("a\ufffdb");
});

test("what is saved is what is read", async () => {
  const tokenizer = Tokenizer.fromJSON(unigramJSON(), {
    eosToken: "</s>",
    padToken: "<pad>",
    modelMaxLength: 512,
    truncationSide: "left",
    chatTemplate: "{{ messages[0].content }}",
  });
  tokenizer.addTokens(["blockchain"]);
  await tokenizer.save(join(folder, "saved"));
  const again = await Tokenizer.fromPretrained(join(folder, "saved"));
  expect(again.toJSON()).toEqual(tokenizer.toJSON());
  for (const name of [
    "eosTokenId",
    "padTokenId",
    "modelMaxLength",
    "truncationSide",
    "chatTemplate",
  ] as const) {
    expect(again[name]).toBe(tokenizer[name]);
  }
  const map = JSON.parse(await readFile(join(folder, "saved", "special_tokens_map.json"), "utf8"));
  expect(map).toEqual({ unk_token: "<unk>", eos_token: "</s>", pad_token: "<pad>" });
  await compareWithNative(again, ["a blockchain of it"]);
});

describe("applyChatTemplate", () => {
  const chatml =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
  const messages = [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Hi!" },
  ];
  const withTemplate = (chatTemplate: string) => new ByteTokenizer({ eosToken: "</s>", chatTemplate });

  test("gives text or ids", () => {
    const tokenizer = new ByteTokenizer({
      chatTemplate: chatml,
      extraSpecialTokens: ["<|im_start|>", "<|im_end|>"],
    });
    const text = tokenizer.applyChatTemplate(messages, { tokenize: false, addGenerationPrompt: true });
    expect(text).toBe(
      "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi!<|im_end|>\n<|im_start|>assistant\n",
    );
    const ids = tokenizer.applyChatTemplate(messages);
    expect(ids.slice(0, 3)).toEqual(Int32Array.of(256, 0x73, 0x79));
    expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe("system\nBe brief.\nuser\nHi!\n");
  });

  test("gives templates tools, special tokens and variables", () => {
    const tokenizer = withTemplate("{{ eos_token }}{% for t in tools %}{{ t.name }}{% endfor %}{{ day }}");
    const options = {
      tools: [{ name: "f" }, { name: "g" }],
      variables: { day: 3 },
      tokenize: false,
    } as const;
    expect(tokenizer.applyChatTemplate([], options)).toBe("</s>fg3");
    const now = tokenizer.applyChatTemplate([], {
      chatTemplate: "{{ strftime_now('%Y') }}",
      tokenize: false,
    });
    expect(now).toBe(String(new Date().getFullYear()));
  });

  test("is read from the files of a folder", async () => {
    const files = { "tokenizer.json": JSON.stringify(unigramJSON()) };
    const named = [
      { name: "tool_use", template: "t" },
      { name: "default", template: "d" },
    ];
    const config = { "tokenizer_config.json": JSON.stringify({ chat_template: named }) };
    const render = async (more: object) =>
      (await tokenizerOf({ ...files, ...more })).applyChatTemplate([], { tokenize: false });
    expect(await render(config)).toBe("d");
    expect(await render({ ...config, "chat_template.jinja": "j" })).toBe("j");
    await expect(render({})).rejects.toThrow("chatTemplate must be given, for the tokenizer has none");
  });

  test.each([
    ["{{ raise_exception('roles must alternate') }}", "ERR_ARGUMENT", "the messages: roles must alternate"],
    ["{{ messages[0].content + 1 + nothing() }}", "ERR_ARGUMENT", "the template refuses the messages"],
    ["{% for %}", "ERR_CHECKPOINT", "the chat template cannot be parsed"],
    [`{{${"(".repeat(50_000)}`, "ERR_CHECKPOINT", "the chat template cannot be parsed"],
  ])("refuses what fails: case %#", (template, code, message) => {
    const render = () => withTemplate(template).applyChatTemplate(messages);
    expect(render).toThrow(expect.objectContaining({ code }));
    expect(render).toThrow(message);
  });
});

describe("ByteTokenizer", () => {
  test("has a token for each byte, and special ones", () => {
    const tokenizer = new ByteTokenizer({ bosToken: "<s>", eosToken: "</s>", padToken: "<pad>" });
    expect([tokenizer.size, tokenizer.bosTokenId, tokenizer.eosTokenId, tokenizer.padTokenId]).toEqual([
      259, 256, 257, 258,
    ]);
    expect([...tokenizer.encode("é\0</s>")]).toEqual([0xc3, 0xa9, 0, 257]);
    expect(tokenizer.decode([0xe6, 0x9d, 0xb1, 0xff, 256])).toBe("東\ufffd<s>");
    expect(tokenizer.encodeBatch(["東a"]).offsets[0]).toEqual([
      [0, 1],
      [0, 1],
      [0, 1],
      [1, 2],
    ]);
  });

  test("is what the native library makes of its tokenizer.json", async () => {
    await compareWithNative(new ByteTokenizer({ eosToken: "</s>" }), hostileStrings(300, 4));
  });

  test("takes a megabyte at once", () => {
    expect(new ByteTokenizer().encode("x".repeat(1_000_000)).length).toBe(1_000_000);
  });
});

describe("folders", () => {
  const refused = async (files: Record<string, string>, message: string | RegExp) => {
    const made = await mkdtemp(join(folder, "refused-"));
    for (const [name, content] of Object.entries(files)) await writeFile(join(made, name), content);
    const load = Tokenizer.fromPretrained(made);
    await expect(load).rejects.toThrow(expect.objectContaining({ code: "ERR_CHECKPOINT" }));
    await expect(load).rejects.toThrow(message);
  };

  test("that cannot be read are refused with what is wrong", async () => {
    const json = (parts: object) => ({ "tokenizer.json": JSON.stringify({ ...unigramJSON(), ...parts }) });
    await refused(
      {},
      "must hold tokenizer.json, or vocab.json and merges.txt, or vocab.txt; it has none of them",
    );
    await refused({ "tokenizer.json": "{" }, "tokenizer.json: is no JSON");
    await refused({ "tokenizer.json": "[]" }, "tokenizer.json must be an object; got []");
    await refused(json({ model: null }), "tokenizer.json: model must be an object; got undefined");
    await refused(
      json({ normalizer: { type: "NFX" } }),
      /normalizer\.type must be one of .*NFKC.*; got 'NFX'/,
    );
    await refused(
      json({
        pre_tokenizer: { type: "Sequence", pretokenizers: [{ type: "Split", pattern: { Regex: "(" } }] },
      }),
      "pre_tokenizer.pretokenizers[0].pattern.Regex '(' cannot be translated",
    );
    await refused(json({ model: { type: "BPE", vocab: { a: 0 }, merges: [["a", "b"]] } }), "got 'b'");
    await refused(
      json({ model: { type: "BPE", vocab: { a: 0 }, merges: [], dropout: 0.1 } }),
      "model.dropout",
    );
    await refused(
      json({ model: { type: "WordLevel", vocab: { a: 0, b: 0 } } }),
      'an id that "a" does not have',
    );
    const config = { ...gpt2Files(), "tokenizer_config.json": '{"tokenizer_class":"MarianTokenizer"}' };
    await refused(config, "tokenizer_class must be of GPT-2 or RoBERTa, for there is no tokenizer.json");
    await refused({ ...gpt2Files(), "merges.txt": "a b c" }, "line 1 must have two tokens; got 'a b c'");
    await refused({ "vocab.txt": "a\nb\n" }, "vocab.txt: must have the token '[UNK]'");
  });

  test("text that is no text, and words without tokens, are refused", () => {
    const words = { type: "WordLevel", vocab: { a: 0 }, unk_token: "<unk>" };
    const tokenizer = Tokenizer.fromJSON({
      ...unigramJSON(),
      added_tokens: [],
      post_processor: null,
      model: words,
    });
    expect(() => tokenizer.encode("b")).toThrow("'▁b' is not in it, nor is '<unk>'");
    expect(() => tokenizer.encode(1 as never)).toThrow("text must be a string; got 1");
    expect(() => tokenizer.decode(1 as never)).toThrow(expect.objectContaining({ code: "ERR_ARGUMENT" }));
  });
});
