import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const read = (file: string) => readFileSync(new URL(`../${file}`, import.meta.url), "utf8");
const readme = read("README.md");
const scripts = (JSON.parse(read("package.json")) as { scripts: Record<string, string> }).scripts;

test("the README shows examples/train.mjs, which the command-line tests run", () => {
  const [, block] = /```js\n([\s\S]*?)```/.exec(readme)!;
  expect(block).toBe(read("examples/train.mjs"));
});

test("every npm script that the documents name exists", () => {
  const named = [readme, read("CONTRIBUTING.md")].flatMap((text) =>
    [...text.matchAll(/npm run ([\w:]+)/g)].map(([, name]) => name!),
  );
  expect(named.length).toBeGreaterThan(5);
  for (const name of named) expect(scripts, name).toHaveProperty(name);
});

test("every file that the documents link to exists", () => {
  for (const [, target] of readme.matchAll(/\]\((?!https?:)([^)#]+)\)/g))
    expect(() => read(target!)).not.toThrow();
});
