import { writeFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import type { Page } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ReportOptions, reportHTML } from "../src/inspect/report/index.ts";
import type { Survey } from "../src/inspect/survey-types.ts";
import {
  ask,
  executablePath,
  expectAccessible,
  expectNoSidewaysScroll,
  expectReadablePictures,
  settled,
  TestBrowser,
  textOf,
} from "./browser.ts";
import { syntheticSurvey } from "./synthetic-survey.ts";

describe.runIf(executablePath)("the page of one text", () => {
  let browser: TestBrowser;
  beforeAll(async () => {
    browser = await TestBrowser.start();
  }, 60_000);
  afterAll(() => browser?.stop(), 60_000);

  let files = 0;
  const write = (survey: Survey, options?: ReportOptions): string => {
    const file = path.join(browser.folder, `${files++}.html`);
    writeFileSync(file, reportHTML(survey, options));
    return pathToFileURL(file).href;
  };
  const open = (survey: Survey, hash = "", width?: number, theme?: "light" | "dark") =>
    browser.open(write(survey) + hash, width, theme);
  const sight = (page: Page): Promise<Record<string, string>> =>
    ask(page, "Object.fromEntries(new URLSearchParams(location.hash.slice(1)))");
  const press = async (page: Page, ...keys: string[]) => {
    for (const key of keys) await page.keyboard.press(key as "Enter");
    return sight(page);
  };

  test("asks for nothing, says nothing, and its address reopens what was seen", async () => {
    const address = write(syntheticSurvey({ length: 24, layers: 3, heads: 4 }));
    const { page, said, requests } = await browser.open(address);
    expect(requests).toEqual([address]);
    await press(page, "End", "ArrowLeft", "ArrowLeft", "h", "l", "3", "m", "d");
    const seen = await textOf(page, "main");
    const theme = await ask(page, "document.documentElement.dataset.theme");
    const again = await browser.open(page.url());
    expect(await textOf(again.page, "main")).toBe(seen);
    expect(await ask(again.page, "document.documentElement.dataset.theme")).toBe(theme);
    expect([...said, ...again.said]).toEqual([]);
    const blocked = ask(page, `fetch("http://127.0.0.1:9").then(() => "sent", () => "refused")`);
    expect(await blocked).toBe("refused");
    expect(said.join()).toContain("Content Security Policy");
  });

  test("does what each key says", async () => {
    const { page, said } = await open(
      syntheticSurvey({ length: 10, layers: 2, heads: 3 }),
      "#token=4&head=1.2",
    );
    expect((await press(page, "ArrowRight")).token).toBe("5");
    expect((await press(page, "ArrowLeft", "ArrowLeft")).token).toBe("3");
    expect((await press(page, "Home", "ArrowLeft")).token).toBe("0");
    expect((await press(page, "End", "ArrowRight")).token).toBe("9");
    expect((await press(page, "h")).head).toBe("1.3");
    expect((await press(page, "h")).head).toBe("1.1");
    expect((await press(page, "H")).head).toBe("1.3");
    expect((await press(page, "l")).head).toBe("2.3");
    expect((await press(page, "L", "L")).head).toBe("2.3");
    for (const [key, shade] of [
      ["2", "influence"],
      ["3", "reads"],
      ["1", "surprise"],
    ] as const) {
      expect((await press(page, key)).shade).toBe(shade);
      expect(await textOf(page, "#shading [aria-pressed=true]")).toContain(shade);
    }
    expect((await press(page, "m")).map).toBe("message");
    expect((await press(page, "m")).map).toBe("weight");
    expect((await press(page, "d")).theme).toBe("dark");
    expect((await press(page, "d")).theme).toBe("light");
    await press(page, "?");
    expect(await ask(page, `document.querySelector("dialog").open`)).toBe(true);
    expect((await press(page, "ArrowLeft")).token).toBe("9"); // the dialog has the keys
    await press(page, "Escape");
    expect(await ask(page, `document.querySelector("dialog").open`)).toBe(false);
    for (let t = 9; t > 0; t--) await press(page, "ArrowLeft");
    expect((await sight(page)).token).toBe("0");
    expect(said).toEqual([]);
  });

  test("every control does something, and views show one selection", async () => {
    const { page, said } = await open(syntheticSurvey({ length: 14, layers: 2, heads: 3 }), "#token=8");
    await page.click("#tokens-3");
    expect((await sight(page)).token).toBe("3");
    expect(await textOf(page, "td.selected")).not.toBe("");
    await page.click("#heads button:nth-of-type(2)");
    const { head } = await sight(page);
    expect(await textOf(page, "#map-title b")).toBe(`Head ${head}`);
    expect(await textOf(page, "#shading [data-value=reads]")).toBe(`head ${head} reads`);
    await page.click("#shading [data-value=influence]");
    await page.click("#measure [data-value=message]");
    expect(await sight(page)).toMatchObject({ shade: "influence", map: "message" });
    const lines = () => ask<number>(page, `document.querySelectorAll("#graph .line").length`);
    await page.focus("#count");
    await press(page, "Home");
    const few = await lines();
    await press(page, "End");
    expect(await lines()).toBeGreaterThan(few);
    expect((await sight(page)).count).toBe("40");
    const message = await textOf(page, "#messages li:nth-child(2) .head");
    await page.click("#messages li:nth-child(2) button");
    expect((await sight(page)).head).toBe(message);
    await page.click("td:not(.selected)");
    const { token } = await sight(page);
    expect(token).not.toBe("3");
    expect(
      await ask(page, `document.getElementById("tokens").getAttribute?.("x")`).catch(() => null),
    ).toBeNull();
    expect(await ask(page, `document.querySelector(".text").getAttribute("aria-activedescendant")`)).toBe(
      `tokens-${token}`,
    );
    await page.click("#map canvas");
    await page.hover("#map canvas");
    await page.hover("#tokens-2");
    expect(await textOf(page, ".tip.on")).toContain("on the log-odds");
    await page.click("#theme");
    expect(await ask(page, "document.documentElement.dataset.theme")).toBe("dark");
    await page.click("#help");
    await page.click("dialog form button");
    expect(said).toEqual([]);
  });

  test("what is drawn is what was measured", async () => {
    const survey = syntheticSurvey({ length: 12, layers: 3, heads: 2 });
    const { page } = await open(survey, "#token=9&count=40");
    const drawn = await ask<{ width: number; color: string }[]>(
      page,
      `[...document.querySelectorAll("#graph .line")].map((line) => ({ width: +line.getAttribute("stroke-width"), color: line.classList.contains("up") ? "up" : "down" }))`,
    );
    expect(drawn.length).toBeGreaterThan(3);
    const widths = drawn.map(({ width }) => width);
    expect(widths).toEqual([...widths].sort((a, b) => a - b)); // the strongest on top
    expect(widths.at(-1)).toBe(8);
    const listed = await ask<string[]>(
      page,
      `[...document.querySelectorAll("#messages .value")].map((v) => v.textContent)`,
    );
    const strongest = survey.routes[9]!.messages.slice(0, listed.length);
    expect(listed).toEqual(
      strongest.map(({ effect }) => `${effect < 0 ? "−" : "+"}${Math.abs(effect).toFixed(2)}`),
    );
    const effects = await ask<string[]>(
      page,
      `[...document.querySelectorAll("button.head .unseen")].map((said) => said.textContent)`,
    );
    const expected = [...survey.headEffects!.parts].reverse().flatMap(({ part, values }) =>
      [0, 1].map((head) => {
        const effect = values[head * 12 + 9]!;
        return [`Head ${/\d+/.exec(part)![0]}.${head + 1}`, Math.abs(effect).toFixed(2)] as const;
      }),
    );
    expected.forEach(([name, effect], k) => {
      expect(effects[k]).toContain(name);
      expect(effects[k]).toContain(effect);
    });
  });

  test("unmeasured things are marked, not drawn as nothing", async () => {
    const { page } = await open(syntheticSurvey({ length: 8, isMeasured: false }), "#token=3");
    expect(await textOf(page, "#graph")).toContain("was not measured");
    expect(await textOf(page, "#heads-lead")).toContain("effects of heads were not measured");
    expect(await textOf(page, "#finding")).toContain("The effect of single heads was not measured here");
    expect(await textOf(page, "button.head .unseen")).toContain("effect not measured");
    await press(page, "ArrowRight");
    expect(await textOf(page, "#messages .value")).toContain("≈");
    expect(await ask(page, `document.querySelectorAll("#graph .line:not(.estimate)").length`)).toBe(0);
    expect(await textOf(page, "#notes")).toContain(
      "Not measured: the effects of heads; half of the message graphs.",
    );
  });

  const forms: [string, Survey][] = [
    ["a decoder", syntheticSurvey({ length: 30, layers: 4, heads: 4 })],
    ["an encoder", syntheticSurvey({ length: 12, architecture: "encoder" })],
    ["an encoder–decoder", syntheticSurvey({ length: 9, source: 14, layers: 3 })],
    ["many heads", syntheticSurvey({ length: 20, layers: 12, heads: 12 })],
    ["one token", syntheticSurvey({ length: 1, layers: 1, heads: 1 })],
  ];
  test.each(forms)("fits every width, is accessible and readable in both themes: %s", async (_, survey) => {
    for (const theme of ["light", "dark"] as const) {
      const { page, said } = await open(survey, "", 1280, theme);
      await press(page, theme === "light" ? "3" : "2");
      await expectAccessible(page);
      await expectReadablePictures(page);
      await expectNoSidewaysScroll(page, [420, 768, 1280]);
      await press(page, "End", "l", "l", "l", "h", "Home");
      expect(said).toEqual([]);
      await page.close();
    }
  });

  test("an encoder–decoder: cross-attention is a map from source to target", async () => {
    const survey = syntheticSurvey({ length: 6, source: 10 });
    const { page } = await open(survey, "#token=2&head=4.1&shade=reads");
    expect(await textOf(page, "#map-title")).toContain("cross 1.1");
    const row = survey.attentions[3]!.weights.subarray(2 * 10, 3 * 10);
    const shaded = await ask<boolean[]>(
      page,
      `[...document.querySelectorAll(".source .token")].map((t) => t.style.backgroundColor !== "")`,
    );
    expect(shaded).toEqual(
      [...row].map((weight) => Math.round(255 * Math.sqrt(weight)) ** 2 / 255 ** 2 > 0.02),
    );
    const [width, height] = await ask<[number, number]>(
      page,
      `(({ width, height }) => [width, height])(document.querySelector("#map canvas"))`,
    );
    expect(width).toBeGreaterThan(height);
    await page.focus(".text.source");
    await press(page, "End");
    expect(await sight(page)).toMatchObject({ token: "2", source: "9" });
    await press(page, "L", "L", "L");
    expect(await textOf(page, "#map-note")).toContain("reads");
  });

  test("an encoder: a head may look ahead, a prediction is of its own token", async () => {
    const survey = syntheticSurvey({ length: 8, architecture: "encoder" });
    const { page } = await open(survey, "#token=2&head=1.1&shade=reads");
    expect(await textOf(page, "#finding")).toMatch(/^At /);
    const row = survey.attentions[0]!.weights.subarray(2 * 8, 3 * 8);
    const ahead = [...row.keys()].find((j) => j > 2 && row[j]! > 0.05);
    expect(ahead).toBeDefined();
    expect(await ask(page, `document.getElementById("tokens-${ahead}").style.backgroundColor`)).not.toBe("");
  });

  test("hostile tokens are text", async () => {
    const words = [
      "</script><script>alert(1)</script>",
      "<img src=x onerror=alert(1)>",
      "x".repeat(200),
      " שלום",
      "مرحبا",
      "👩‍👩‍👧‍👦",
      "\n",
      "\t",
      "",
      "   ",
      "\u202eevil",
      "\u0000",
      "&amp;",
      "'\"`",
      " ﷽",
      "a\u0301\u0302\u0303",
    ];
    const survey = syntheticSurvey({ length: 60, vocabSize: words.length, word: (id) => words[id]! });
    const { page, said, requests } = await open(survey, "#token=30");
    for (let t = 0; t < 8; t++) await press(page, "ArrowRight", "h");
    expect(await ask(page, `document.querySelectorAll("img, main script").length`)).toBe(0);
    expect(await textOf(page, ".text")).toContain("</script><script>alert(1)</script>");
    await expectAccessible(page);
    await expectNoSidewaysScroll(page, [420, 768, 1280]);
    expect(said).toEqual([]);
    expect(requests).toHaveLength(1);
    await page.goto(`${page.url().split("#")[0]}#token=1e9&head=-3.x&count=NaN&shade=__proto__&map=%3Cb%3E`);
    await page.reload();
    await page.waitForFunction("document.documentElement.dataset.ready");
    expect(said).toEqual([]);
  });

  test("2,048 tokens", async () => {
    const survey = syntheticSurvey({ length: 2048, layers: 1, heads: 2, vocabSize: 4000 });
    const { page, said } = await open(survey, "#token=1900&shade=reads");
    expect(await ask(page, `document.querySelectorAll(".text .token").length`)).toBe(2048);
    expect(await ask<number>(page, `document.querySelector("#map canvas").clientHeight`)).toBeLessThan(800);
    expect(await textOf(page, "#map-note")).toContain(
      "Each cell shows the largest weight of about 16 × 16 tokens",
    );
    await press(page, "ArrowLeft", "Home", "End");
    await expectNoSidewaysScroll(page, [420, 1280]);
    expect(said).toEqual([]);
  });

  test("12 layers of 12 heads and 128 tokens are ready soon", async () => {
    const address = write(syntheticSurvey({ length: 128, layers: 12, heads: 12, vocabSize: 8000 }));
    const { page, said } = await browser.open(address);
    const ready = Number(await ask(page, "document.documentElement.dataset.ready"));
    const moved = await ask<number>(
      page,
      `(() => { const start = performance.now(); dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" })); return performance.now() - start })()`,
    );
    console.info(`12 × 12 × 128: ready after ${ready} ms (aim: 1,500), another token ${moved.toFixed(0)} ms`);
    await settled(page);
    expect(said).toEqual([]);
  });
});
