import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import puppeteer, { type Browser, type Page } from "puppeteer-core";
import { expect } from "vitest";

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];

/** A browser of this machine: CHROME, or one on the PATH. CI must have one. */
function findBrowser(): string | undefined {
  const folders = (process.env.PATH ?? "").split(path.delimiter);
  const places = folders.flatMap((folder) => names.map((name) => path.join(folder, name)));
  const found = [process.env.CHROME, ...places].find((file) => file !== undefined && existsSync(file));
  if (found === undefined && process.env.CI) throw new Error("no Chromium, which CI must have: see .ci/run");
  if (found === undefined) console.warn("NOT TESTED: the pages, as there is no Chromium on the PATH");
  return found;
}

export const executablePath = findBrowser();

/** What a page did that it should not, and what it asked for. */
export interface Watched {
  readonly page: Page;
  readonly said: string[];
  readonly requests: string[];
}

export class TestBrowser {
  private readonly browser: Browser;
  readonly folder: string;

  private constructor(browser: Browser, folder: string) {
    this.browser = browser;
    this.folder = folder;
  }

  static async start(): Promise<TestBrowser> {
    const folder = mkdtempSync(path.join(tmpdir(), "trainformer-page-"));
    const browser = await puppeteer.launch({
      executablePath: executablePath!,
      headless: true,
      userDataDir: path.join(folder, "profile"),
      args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
    });
    return new TestBrowser(browser, folder);
  }

  async stop(): Promise<void> {
    await this.browser.close();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  /** A page that has drawn everything. */
  async open(address: string, width = 1280, theme: "light" | "dark" = "light"): Promise<Watched> {
    const page = await this.browser.newPage();
    const said: string[] = [];
    const requests: string[] = [];
    page.on("console", (message) => said.push(message.text()));
    page.on("pageerror", (error) => said.push(String(error)));
    page.on("request", (request) => requests.push(request.url()));
    await page.setViewport({ width, height: 900 });
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
    await page.goto(address);
    await page.waitForFunction("document.documentElement.dataset.ready", { timeout: 20_000 });
    return { page, said, requests };
  }
}

export const ask = <T>(page: Page, expression: string): Promise<T> => page.evaluate(expression) as Promise<T>;
export const textOf = (page: Page, selector: string): Promise<string> =>
  page.$eval(selector, (element) => element.textContent ?? "");

/** Lets what a change of size or theme caused be drawn. */
export const settled = (page: Page): Promise<void> =>
  ask(page, "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))");

/** Nothing sticks out to the side. */
export async function expectNoSidewaysScroll(page: Page, widths: readonly number[]): Promise<void> {
  for (const width of widths) {
    await page.setViewport({ width, height: 900 });
    await settled(page);
    expect(
      await ask<number>(page, "document.documentElement.scrollWidth"),
      `at ${width} px`,
    ).toBeLessThanOrEqual(width);
  }
}

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Roles, names, structure and contrast as axe-core computes them (WCAG 2.2 A and AA, and its best practices). */
export async function expectAccessible(page: Page): Promise<void> {
  await page.evaluate(axe);
  const found = (await page.evaluate(
    `axe.run({ resultTypes: ["violations"] }).then(({ violations }) => violations.map(({ id, nodes }) =>
      id + ": " + nodes.slice(0, 3).map((node) => node.target + " " + (node.any[0]?.message ?? node.failureSummary)).join("; ")))`,
  )) as string[];
  expect(found).toEqual([]);
}

/** Texts of SVG, which axe-core leaves out: contrast with what is behind them. */
export async function expectReadablePictures(page: Page): Promise<void> {
  const bad = await page.evaluate(() => {
    // biome-ignore lint/suspicious/noExplicitAny: runs in the browser, whose types the tests do not have
    const { document, getComputedStyle } = globalThis as any;
    const light = (color: string) => {
      const parts = color
        .match(/[\d.]+/g)!
        .slice(0, 3)
        .map((part) => Number(part) / 255);
      const [r, g, b] = parts.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
    };
    const paper = getComputedStyle(document.documentElement).backgroundColor;
    return [...document.querySelectorAll("svg text")].flatMap((text) => {
      const before = text.previousElementSibling;
      const back = before?.tagName === "rect" ? getComputedStyle(before).fill : paper;
      const [a, b] = [
        light(getComputedStyle(text).fill),
        light(/rgba\(.*, 0\)|none/.test(back) ? paper : back),
      ];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      return ratio < 4.5 ? [`${text.textContent}: ${ratio.toFixed(2)}`] : [];
    });
  });
  expect(bad).toEqual([]);
}
