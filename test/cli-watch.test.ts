import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { beforeAll, expect, it } from "vitest";
import { lineText } from "../src/inspect/watch/run-file.ts";
import { cli, failure, type Handle, lastLine } from "./cli-run.ts";
import { ask } from "./http.ts";

const { inFolder, trainformer } = cli("cli-watch");
const small = "--layers 1 --heads 2 --width 32 --context 16 --batch 4 --sample 0".split(" ");
const train = (out: string, ...args: string[]) => [
  "train",
  "--data",
  "book.txt",
  "--out",
  out,
  ...small,
  ...args,
];
const address = /http:\/\/127\.0\.0\.1:\d+\/\?token=[\w-]{20,}/g;
const linesOf = (out: string) =>
  readFileSync(inFolder(`${out}/watch.jsonl`), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

beforeAll(() => {
  const text = Array.from({ length: 2000 }, (_, i) => ["the sea", "a boat", "an old man"][(i % 7) % 3]).join(
    " ",
  );
  writeFileSync(inFolder("book.txt"), text);
});

it("serves the run to who has the address, and leaves its page behind on Ctrl-C", async () => {
  let visit: Promise<unknown> | undefined;
  const look = async (url: string, child: Handle) => {
    const page = await ask(url);
    const events = await ask(url.replace("/?", "/events?"), { until: '"kind":"probe"' });
    const strangers = await Promise.all([
      ask(url.replace(/token=.*/, "token=0123456789012345678901")),
      ask(url.replace(/\?.*/, "events")),
      ask(url, { headers: { Host: "evil.example" } }),
    ]);
    child.kill("SIGINT");
    return { page, events, refused: strangers.map(({ status }) => status) };
  };
  const args = train(
    "live",
    "--steps",
    "1000000",
    "--eval-every",
    "20",
    "--watch",
    "--watch-prompt",
    "the old",
  );
  const ended = await trainformer(args, {
    onStdout(written, child) {
      const [url] = written.match(address) ?? [];
      if (url) visit ??= look(url, child);
    },
  });
  expect(ended.code, ended.stderr).toBe(130);
  const { page, events, refused } = (await visit) as Awaited<ReturnType<typeof look>>;
  expect([page.status, page.headers["content-type"]]).toEqual([200, "text/html; charset=utf-8"]);
  expect(page.body).toContain("Is it learning?");
  expect(events.headers["content-type"]).toBe("text/event-stream");
  expect(events.body).toContain('"title":"live"');
  expect(refused).toEqual([403, 403, 421]);

  const urls = ended.stdout.match(address)!;
  expect(urls).toHaveLength(1);
  await expect(ask(urls[0]!)).rejects.toThrow(/ECONNREFUSED/);
  expect(ended.stdout).toContain("the page of the run: live/train.html");
  const [first, last] = [linesOf("live")[0], linesOf("live").at(-1)];
  expect([first.kind, last.kind]).toEqual(["begin", "end"]);
  expect(first.probe).toMatch(/^(.{8})\1$/s); // half of the context, said twice
  expect(ended.stdout).toContain(`interrupted after step ${last.step}`);
  const left = readFileSync(inFolder("live/train.html"), "utf8");
  expect(left).toContain('"isLive":false');
  expect(left).toContain('"prompt":"the old"');
});

it("is no other training than without a page, also when it is resumed", async () => {
  const options = "--steps 160 --save-every 20 --eval-every 40 --dropout 0.1 --json".split(" ");
  const whole = await trainformer(train("whole", ...options));
  expect(whole.code, whole.stderr).toBe(0);
  const parts = train("parts", ...options, "--watch");
  const first = await trainformer(parts, {
    onStart(child) {
      const timer = setInterval(() => {
        if (!existsSync(inFolder("parts/checkpoint-20"))) return;
        clearInterval(timer);
        child.kill("SIGINT");
      }, 5).unref();
    },
  });
  expect([first.code, lastLine(first.stdout).interrupted], first.stderr).toEqual([130, true]);
  expect(existsSync(inFolder("parts/train.html"))).toBe(true);
  const rest = await trainformer([...parts, "--resume"]);
  expect([rest.code, lastLine(rest.stdout).steps], rest.stderr).toEqual([0, 160]);
  expect(rest.stdout.trimEnd().split("\n")).toHaveLength(1); // the address is on stderr
  expect(rest.stderr.match(address)).toHaveLength(1);

  const [expected, got] = ["whole", "parts"].map((name) =>
    readFileSync(inFolder(`${name}/model.safetensors`)),
  );
  expect(got!.equals(expected!)).toBe(true);
  const lines = linesOf("parts");
  expect(lines.filter(({ kind }) => kind === "begin")).toHaveLength(2);
  expect(lines.filter(({ kind }) => kind === "end")).toEqual([expect.objectContaining({ step: 160 })]);
  expect(lines.filter(({ kind }) => kind === "probe").map(({ step }) => step)).toEqual([40, 80, 120, 160]);
  const logged = lines
    .filter(({ kind, values }) => kind === "log" && "loss" in values)
    .map(({ step }) => step);
  expect(logged).toEqual(Array.from({ length: 16 }, (_, k) => 10 * (k + 1)));
  const page = readFileSync(inFolder("parts/train.html"), "utf8");
  for (const line of lines.filter(({ kind }) => kind === "probe")) expect(page).toContain(lineText(line));
});

it("opens the browser only if asked to, and trains on where it cannot", async () => {
  const programs = { good: 'printf %s "$1" > opened', bad: "exit 3" };
  for (const [name, script] of Object.entries(programs)) {
    mkdirSync(inFolder(name));
    for (const opener of ["open", "xdg-open"].map((each) => inFolder(`${name}/${each}`))) {
      writeFileSync(opener, `#!/bin/sh\n${script}\n`);
      chmodSync(opener, 0o755);
    }
  }
  const run = (out: string, bin: string, ...more: string[]) =>
    trainformer(train(out, "--steps", "60", "--watch", ...more), { env: { PATH: inFolder(bin) } });
  await run("unopened", "good");
  expect(existsSync(inFolder("opened"))).toBe(false);
  const [good, bad, none] = await Promise.all([
    run("opened-run", "good", "--open"),
    run("bad-run", "bad", "--open"),
    run("none-run", "nowhere", "--open"),
  ]);
  expect([good.code, bad.code, none.code], none.stderr).toEqual([0, 0, 0]);
  expect(readFileSync(inFolder("opened"), "utf8")).toBe(good.stdout.match(address)![0]);
  expect(good.stdout).not.toContain("could not be opened");
  expect(bad.stdout).toMatch(/the browser could not be opened: (xdg-)?open ended with 3/);
  expect(none.stdout).toMatch(/the browser could not be opened: spawn (xdg-)?open ENOENT/);
});

it.each([
  ["--port 8080", 2, "--port needs --watch"],
  ["--open", 2, "--open needs --watch"],
  ["--watch-prompt x", 2, "--watch-prompt needs --watch"],
  ["--watch --port 70000", 2, "--port must be an integer from 0 to 65535; got 70000"],
  [
    "--watch --watch-prompt ß",
    1,
    '--watch-prompt must have characters of the vocabulary of book.txt only; got "ß"',
  ],
  ["--watch --watch-probe= ", 2, "--watch-probe must have a character at least; got an empty text"],
  ["--watch --watch-probe the-old-man-and-the-sea", 1, "--watch-probe must have characters of the"],
  [
    "--watch --watch-probe theoldmanatheoldmana",
    1,
    "--watch-probe must have at most as many characters as --context, 16; got 20",
  ],
])("%s: one line, exit code %i", async (line, exitCode, expected) => {
  const { message, ...rest } = await failure(`${train("wrong").join(" ")} ${line}`);
  expect(message).toContain(expected);
  expect(message).not.toContain("\n");
  expect(rest.exitCode).toBe(exitCode);
});

it("names a port that is taken", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  const { message, exitCode } = await failure(`${train("taken").join(" ")} --steps 5 --watch --port ${port}`);
  server.close();
  expect([exitCode, message]).toEqual([1, expect.stringContaining(`--port ${port} cannot be had: `)]);
});
