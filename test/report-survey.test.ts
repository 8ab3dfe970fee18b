import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BertForMaskedLM, T5 } from "../src/index.ts";
import { type Survey, survey } from "../src/inspect/index.ts";
import { writeReport } from "../src/inspect/report/index.ts";
import { ask, executablePath, expectAccessible, TestBrowser, textOf } from "./browser.ts";
import { alphabet, trainWatched } from "./watch-run.ts";

describe.runIf(executablePath)("the page about a model that was surveyed", () => {
  let browser: TestBrowser;
  beforeAll(async () => {
    browser = await TestBrowser.start();
  }, 60_000);
  afterAll(() => browser?.stop(), 60_000);

  const open = async (name: string, found: Survey, hash = "") => {
    const file = path.join(browser.folder, `${name}.html`);
    await writeReport(file, found);
    return browser.open(pathToFileURL(file).href + hash);
  };
  const everyView = async ({ page, said, requests }: Awaited<ReturnType<typeof open>>) => {
    for (const key of ["1", "2", "3", "m", "l", "h", "End", "ArrowLeft", "Home", "L", "H"]) {
      await page.keyboard.press(key as "Enter");
    }
    await expectAccessible(page);
    expect(said).toEqual([]);
    expect(requests).toHaveLength(1);
  };

  test("a trained decoder: text, finding, messages and lens are those of the survey", async () => {
    const { model } = await trainWatched({
      folder: path.join(browser.folder, "run"),
      steps: 60,
      options: { probe: false },
    });
    const found = await survey(model, "abcdefg abcdefg hijk", { tokenizer: alphabet, seconds: 20 });
    const opened = await open("decoder", found, "#token=12");
    const { page } = opened;
    expect(await textOf(page, ".text")).toBe("abcdefg abcdefg hijk");
    const p = Math.exp(found.targetLogProbabilities![12]!);
    expect(await textOf(page, "#finding")).toContain(
      p >= 0.0995 ? `${Math.round(p * 100)}%` : `${(p * 100).toFixed(1)}%`,
    );
    const strongest = found.routes[12]!.messages[0]!;
    expect(await textOf(page, "#messages .head")).toBe(`${strongest.layer}.${strongest.head}`);
    const { lens } = found;
    const best = lens!.ids[(lens!.names.length - 1) * lens!.length * lens!.top + 12 * lens!.top]!;
    expect(await textOf(page, "#guesses .word")).toBe(found.strings[best]!.replace(" ", "␣"));
    expect(await ask(page, `document.querySelectorAll("button.head").length`)).toBe(8);
    expect(await ask(page, `document.querySelectorAll("#loudness .dot").length`)).toBeGreaterThanOrEqual(8);
    await everyView(opened);
  });

  test("an encoder and an encoder–decoder", async () => {
    const bert = new BertForMaskedLM({
      ...{ vocabSize: 17, contextLength: 32, numLayers: 2, numHeads: 2, hiddenSize: 16, seed: 2 },
    });
    const read = await open("encoder", await survey(bert, [1, 5, 3, 9, 3, 2], { seconds: 10 }), "#token=2");
    expect(await textOf(read.page, "#finding")).toMatch(/^At /);
    await everyView(read);
    const t5 = new T5({ vocabSize: 17, numLayers: 2, numHeads: 2, hiddenSize: 16, seed: 4 });
    const pair = await survey(t5, { source: [3, 4, 5, 6, 7, 8], target: [6, 5, 4] }, { seconds: 10 });
    const opened = await open("encoder-decoder", pair, "#token=1");
    expect(await ask(opened.page, `document.querySelectorAll(".text.source .token").length`)).toBe(6);
    expect(await textOf(opened.page, "#heads")).toContain("decoder reads source");
    await everyView(opened);
  });
});
