import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { WatchLine } from "../src/inspect/watch/history.ts";
import { WatchServer, writeWatchPage } from "../src/inspect/watch/index.ts";
import { RunFile } from "../src/inspect/watch/run-file.ts";
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
import { trainWatched } from "./watch-run.ts";

const now = () => Date.now() / 1000;
const begin = (more: object = {}): WatchLine => ({
  ...{ kind: "begin", step: 0, time: now() - 100, title: "a run", facts: ["GPT", "2 layers × 2 heads × 8"] },
  ...{ maxSteps: 1000, maxGradNorm: 1, layers: ["outside", "layer 1", "layer 2"], ...more },
});
const log = (step: number, values: Record<string, number | string>): WatchLine => ({
  kind: "log",
  step,
  time: now(),
  values,
});
const layers = (step: number, gradients: (number | string)[], ratio = 1e-3): WatchLine => ({
  ...{ kind: "layers", step, gradients, ratios: gradients.map(() => ratio) },
});

describe.runIf(executablePath)("the page of a run", () => {
  let browser: TestBrowser;
  beforeAll(async () => {
    browser = await TestBrowser.start();
  }, 60_000);
  afterAll(() => browser?.stop(), 60_000);

  let runs = 0;
  const write = async (...lines: WatchLine[]) => {
    const folder = path.join(browser.folder, `run-${runs++}`);
    const file = new RunFile(folder);
    await file.resume(0);
    for (const line of lines) await file.append(line);
    return { folder, file };
  };
  const saved = async (...lines: WatchLine[]) => {
    const { folder } = await write(...lines);
    return browser.open(pathToFileURL(await writeWatchPage(folder)).href);
  };

  test("of a real training is complete, accessible and asks for nothing", async () => {
    const folder = path.join(browser.folder, "trained");
    await trainWatched({ folder, steps: 64 });
    const address = pathToFileURL(path.join(folder, "train.html")).href;
    for (const theme of ["light", "dark"] as const) {
      const { page, said, requests } = await browser.open(address, 1280, theme);
      expect(requests).toEqual([address]);
      expect(await textOf(page, "#state")).toBe("finished");
      expect(await textOf(page, "#figures")).toContain("of 64 steps");
      expect(await ask(page, `document.querySelectorAll("#learning .series").length`)).toBe(3);
      expect(await ask(page, `document.querySelectorAll("#health canvas").length`)).toBe(3);
      expect(await ask(page, `document.querySelectorAll("#previous .series").length`)).toBe(8);
      expect(await textOf(page, "#writes")).toMatch(/^abcdefg abc.{5,}/);
      await expectAccessible(page);
      await expectReadablePictures(page);
      await page.click("#scale [data-value=log]");
      expect(page.url()).toContain("steps=log");
      expect(await textOf(page, "#writes-lead")).toContain("At step 64, the newest");
      await page.focus("#when");
      await page.keyboard.press("Home");
      expect(await textOf(page, "#writes-lead")).toContain("At step 8:");
      await page.hover("#learning rect");
      expect(await textOf(page, ".tip.on")).toMatch(/^step \d+ · training/);
      await page.click("#theme");
      expect(await ask(page, "document.documentElement.dataset.theme")).not.toBe(theme);
      await expectNoSidewaysScroll(page, [420, 768, 1280]);
      expect(said).toEqual([]);
      await page.close();
    }
  });

  test("follows a run live, and says when it ends or falls silent", async () => {
    const { folder, file } = await write(begin());
    const server = await WatchServer.start(folder, { pollInterval: 20 });
    const { page, said, requests } = await browser.open(server.url);
    const wait = (selector: string, text: string) =>
      page.waitForFunction(
        `document.querySelector(${JSON.stringify(selector)}).textContent.includes(${JSON.stringify(text)})`,
        { timeout: 20_000 },
      );
    await wait("#facts", "a run");
    expect(await ask(page, `document.querySelector("#health-section").hidden`)).toBe(true);
    await file.append(log(10, { loss: 4 }));
    await wait("#state", "live");
    await wait("#figures", "4.00");
    for (let step = 20; step <= 100; step += 10) await file.append(log(step, { loss: 4 - step / 50 }));
    await file.append(log(100, { eval_loss: 2.5 }));
    await file.append({
      kind: "sample",
      step: 100,
      prompt: "<b>",
      text: "</script><img src=x onerror=alert(1)>",
    });
    await file.append(layers(100, [1, 2, 3]));
    await wait("#writes", "</script><img");
    await wait("#figures", "2.50");
    expect(await ask(page, `document.querySelectorAll("main img").length`)).toBe(0);
    expect(await textOf(page, "#figures")).toContain("to go");
    await file.append({ kind: "end", step: 100, time: now() });
    await wait("#state", "stopped"); // before its last step
    const { origin } = new URL(server.url);
    expect(requests.map((url) => url.replace(/\?.*/, ""))).toEqual([`${origin}/`, `${origin}/events`]);
    await expectAccessible(page);
    expect(said).toEqual([]);
    await server.close();
  });

  test("says when the trainer is gone", async () => {
    const { folder } = await write(begin({ time: now() }), log(10, { loss: 4 }));
    const server = await WatchServer.start(folder, { pollInterval: 20 });
    const { page } = await browser.open(server.url);
    await page.waitForFunction(`document.querySelector("#state").textContent === "live"`);
    await server.close();
    await page.waitForFunction(`document.querySelector("#state").textContent === "no connection"`, {
      timeout: 20_000,
    });
  });

  test("says when there is no news", async () => {
    const { folder } = await write(begin(), { ...log(10, { loss: 4 }), time: now() - 75 } as WatchLine);
    const server = await WatchServer.start(folder, { pollInterval: 20 });
    const { page } = await browser.open(server.url);
    await page.waitForFunction(`document.querySelector("#state").textContent.startsWith("no news for")`);
    await server.close();
  });

  test("names what is off: a gradient out of size, one that is no number, steps too large", async () => {
    const rows = Array.from({ length: 60 }, (_, k) =>
      layers(10 * (k + 1), [k >= 50 ? 40 : 1 + (k % 3) / 10, 1, k === 57 ? "NaN" : 1], k >= 50 ? 0.25 : 1e-3),
    );
    const { page, said } = await saved(
      begin(),
      log(10, { loss: 4, grad_norm: 2 }),
      log(20, { loss: 4, grad_norm: 0.5 }),
      ...rows,
    );
    const found = await ask<string[]>(
      page,
      `[...document.querySelectorAll("#findings li")].map((li) => li.textContent)`,
    );
    expect(found[0]).toMatch(/^The gradient of outside is (3\d|40)× its usual size since step 510\.$/);
    expect(found[1]).toBe("The gradient of layer 2 was no number at step 580.");
    expect(found).toContain(
      "An update moves layer 1 by 25% of its length: the learning rate may be too high.",
    );
    expect(await textOf(page, "#health-lead")).toContain("50% of the logged updates were clipped to 1.");
    expect(await textOf(page, "#state")).toBe("ended early");
    expect(said).toEqual([]);
    const calm = await saved(begin(), ...rows.slice(0, 40));
    expect(await textOf(calm.page, "#findings")).toBe("Nothing is out of the ordinary.");
  });

  test("draws 100,000 steps, losses that are no numbers, and nothing at all", async () => {
    const long = Array.from({ length: 20_000 }, (_, k) =>
      log(5 * (k + 1), { loss: k === 7000 ? 100 : k % 997 === 0 ? "NaN" : 3 + Math.sin(k / 500) }),
    );
    const { folder, file } = await write(begin({ maxSteps: 100_000 }));
    const { appendFileSync } = await import("node:fs");
    appendFileSync(file.path, long.map((line) => `${JSON.stringify(line)}\n`).join(""));
    const { page, said } = await browser.open(pathToFileURL(await writeWatchPage(folder)).href);
    const band = await ask<string>(page, `document.querySelector("#learning .band").getAttribute("d")`);
    const heights = [...band.matchAll(/,([\d.]+)/g)].map(([, y]) => Number(y));
    expect(Math.min(...heights)).toBeLessThan(30); // the spike
    expect(heights.every(Number.isFinite)).toBe(true);
    await settled(page);
    const empty = await saved(begin());
    expect(await ask(empty.page, `document.querySelector("#learning svg").getAttribute("aria-label")`)).toBe(
      "No loss was logged yet",
    );
    const nothing = await saved();
    expect(await textOf(nothing.page, "#state")).toBe("nothing yet");
    expect([...said, ...empty.said, ...nothing.said]).toEqual([]);
  });
});
