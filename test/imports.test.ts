import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const source = fileURLToPath(new URL("../src", import.meta.url));

/** A file imports from rows above its own, and a folder from itself. Types are free: they leave nothing at run time. */
const layers = [
  ["errors"],
  ["dtype", "shape", "random", "letter-case"],
  ["print", "native", "generator"],
  ["device"],
  ["memory"],
  ["tensor"],
  ["op"],
  ["autograd"],
  ["ops"],
  ["messages"],
  ["functional"],
  ["io", "nn", "data", "metrics", "generate"],
  ["optim"],
  ["text"],
  ["models"],
  ["train", "inspect"],
  ["profile"],
  ["index"],
  ["cli"],
];

const files = readdirSync(source, { recursive: true, encoding: "utf8" }).filter((name) =>
  name.endsWith(".ts"),
);
/** The first part of the path: a folder, or a file without its extension. */
const unitOf = (file: string) => file.split(path.sep)[0]!.replace(/\.ts$/, "");
const layerOf = (file: string) => layers.findIndex((units) => units.includes(unitOf(file)));

/** The files of src/ that `file` imports for more than their types. */
function importsOf(file: string): string[] {
  const code = readFileSync(path.join(source, file), "utf8").replace(/^(import|export) type .*?;$/gms, "");
  const targets = code.matchAll(/(?:\bfrom |^import |\bimport\()"(\.[^"]*)"/gm);
  return [...targets].map(([, target]) => path.join(path.dirname(file), target!));
}

test("every file of src/ has a layer", () => {
  expect(files.filter((file) => layerOf(file) < 0)).toEqual([]);
});

test("imports name files that exist", () => {
  const missing = files.flatMap((file) => importsOf(file).filter((target) => !files.includes(target)));
  expect(missing).toEqual([]);
});

test("imports go down the layers", () => {
  const isAllowed = (from: string, to: string) => layerOf(to) < layerOf(from) || unitOf(to) === unitOf(from);
  const arrows = files.flatMap((from) =>
    importsOf(from)
      .filter((to) => !isAllowed(from, to))
      .map((to) => `${from} imports ${to}`),
  );
  expect(arrows).toEqual([]);
});
