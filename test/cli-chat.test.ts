import { writeFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { CharTokenizer, GPT, generate, Tokenizer, trainBPE } from "../src/index.ts";
import { cli, type Handle } from "./cli-run.ts";

const { inFolder, trainformer } = cli("cli-chat");
const template =
  "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}" +
  "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
const text = "the old man sat down by the sea and looked at a small red boat. user assistant system\n";

let model: GPT;
let tokenizer: Tokenizer;

beforeAll(async () => {
  const json = await trainBPE([text], { vocabSize: 300, specialTokens: ["<|im_start|>", "<|im_end|>"] });
  tokenizer = Tokenizer.fromJSON(json, { eosToken: "<|im_end|>", chatTemplate: template });
  const size = { numLayers: 2, numHeads: 2, hiddenSize: 32 };
  model = new GPT({ vocabSize: tokenizer.size, contextLength: 256, ...size, seed: 7 });
  for (const parameter of model.parameters()) parameter.detach().assign(parameter.detach().mul(4)); // it says something
  await model.savePretrained(inFolder("chat"), { tokenizer });
  await new GPT({ vocabSize: tokenizer.size, contextLength: 64, ...size, seed: 7 }).savePretrained(
    inFolder("short"),
    { tokenizer },
  );
  const characters = CharTokenizer.fromText(text);
  const plain = new GPT({ vocabSize: characters.size, contextLength: 64, ...size, seed: 7 });
  await plain.savePretrained(inFolder("plain"), { tokenizer: characters });
});

const chat = (input: string, ...args: string[]) =>
  trainformer(["chat", "--model", "chat", "--max-new-tokens", "12", "--greedy", ...args], { input });
const answers = (stdout: string) =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

/** What the model answers to messages, without anything kept of what it has read. */
async function answerTo(messages: { role: string; content: string }[]) {
  const ids = tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true });
  const eosTokenId = tokenizer.eosTokenId!;
  const { texts } = await generate(model, ids, { tokenizer, maxNewTokens: 12, eosTokenId });
  return { content: texts[0]!, promptTokens: ids.length };
}

describe("trainformer chat", () => {
  it("answers each line of a pipe in the light of those before, which it reads once", async () => {
    const { code, stdout, stderr } = await chat("the old\nman sat\n", "--json", "--system", "sea");
    expect([code, stderr]).toEqual([0, ""]);
    const [first, second] = answers(stdout);
    const messages = [
      { role: "system", content: "sea" },
      { role: "user", content: "the old" },
    ];
    const expected = await answerTo(messages);
    expect(first).toMatchObject({ ...expected, role: "assistant", reusedTokens: 0, interrupted: false });
    expect(expected.content.length).toBeGreaterThan(5);
    messages.push({ role: "assistant", content: expected.content }, { role: "user", content: "man sat" });
    expect(second).toMatchObject(await answerTo(messages));
    expect(second.reusedTokens).toBe(expected.promptTokens);
  });

  it("prints answers as they come, and nothing else to a pipe", async () => {
    const { stdout, stderr } = await chat("the old\n\nman sat\\\nby\n");
    const json = answers((await chat("the old\nman sat\\\nby\n", "--json")).stdout);
    expect(stdout).toBe(json.map(({ content }) => `${content}\n`).join(""));
    expect(stderr).toBe("");
  });

  it("does what lines with a slash say", async () => {
    const input = "the old\n/reset\nthe old\n/system sea\nthe old\n/nonsense\n//x\n/exit\nnever\n";
    const { code, stdout, stderr } = await chat(input, "--json");
    expect(code).toBe(0);
    expect(stderr).toBe("/nonsense must be one of /reset, /system, /exit, /help\n");
    const [a, b, c, d, ...rest] = answers(stdout);
    expect(b).toMatchObject({ content: a.content, promptTokens: a.promptTokens });
    const asked = { role: "user", content: "the old" };
    expect(c).toMatchObject(await answerTo([{ role: "system", content: "sea" }, asked]));
    expect(d.promptTokens).toBeGreaterThan(c.promptTokens);
    expect(rest).toEqual([]);
  });

  it("forgets the oldest messages that no longer fit, and says so", async () => {
    const options = ["--model", "short", "--max-new-tokens", "8", "--json", "--greedy"];
    const input = "the old man\nsat down by\nthe sea and looked\nat a small red boat\n";
    const { code, stdout, stderr } = await trainformer(["chat", ...options], { input });
    expect(code, stderr).toBe(0);
    const turns = answers(stdout);
    expect(turns.length).toBe(4);
    expect(turns.some(({ droppedMessages }) => droppedMessages >= 2)).toBe(true);
    for (const { promptTokens } of turns) expect(promptTokens + 8).toBeLessThanOrEqual(64);
    expect(stderr).toContain("messages no longer fit and are forgotten");
    const long = await trainformer(["chat", ...options], { input: `${"sea ".repeat(80)}\nthe sea\n` });
    expect(long.stderr).toContain("a message must be shorter than the 64 tokens that the model sees");
    expect(answers(long.stdout).length).toBe(1);
  });

  it("goes on from what is typed with --plain", async () => {
    const options = ["chat", "--model", "plain", "--max-new-tokens", "6", "--greedy"];
    const { code, stdout, stderr } = await trainformer([...options, "--plain"], { input: "the old\n" });
    expect([code, stderr]).toEqual([0, ""]);
    const generated = await trainformer(["generate", ...options.slice(1), "--prompt", "the old"]);
    expect(`the old${stdout}`).toBe(generated.stdout);
    const refused = await trainformer(options, { input: "x\n" });
    expect([refused.code, refused.stdout]).toEqual([2, ""]);
    expect(refused.stderr).toContain("--model must have a chat template; plain has none");
  });

  it("takes a template of one's own", async () => {
    writeFileSync(inFolder("own.jinja"), "{{ messages[0].content }}");
    const { stdout } = await chat("the old\n", "--json", "--chat-template", "own.jinja");
    expect(answers(stdout)[0].promptTokens).toBe(tokenizer.encode("the old").length);
  });

  it("ends an answer at one Ctrl-C, goes on, and leaves at two", async () => {
    const endless = ["chat", "--model", "plain", "--plain", "--max-new-tokens", "100000000"];
    const untilOutput = (act: (child: Handle) => void) => {
      let hasActed = false;
      return trainformer(endless, {
        input: "the old\n",
        isInteractive: true,
        onStdout(_, child) {
          if (!hasActed) act(child);
          hasActed = true;
        },
      });
    };
    const stopped = await untilOutput((child) => {
      child.kill("SIGINT");
      child.write("/reset\n/exit\n"); // which is read when the answer has ended
    });
    expect([stopped.code, stopped.stderr]).toEqual([0, ""]);
    const left = await untilOutput((child) => {
      child.kill("SIGINT");
      setTimeout(() => child.kill("SIGINT"), 400);
    });
    expect(left.code).toBe(130);
  });
});
