import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, test } from "vitest";
import type { Header } from "../src/inspect/report/header.ts";
import { reportHTML, writeReport } from "../src/inspect/report/index.ts";
import { decode, inflate, type Numbers } from "../src/inspect/report/page/decode.ts";
import { linesTo, lineWidth, place } from "../src/inspect/report/page/graph-layout.ts";
import { type HeadWeights, headsFrom } from "../src/inspect/report/page/weights.ts";
import type { Survey } from "../src/inspect/survey-types.ts";
import { syntheticSurvey } from "./synthetic-survey.ts";

interface Parsed {
  readonly header: Header;
  readonly numbers: Map<string, Numbers>;
  readonly weights: HeadWeights[][];
}

/** A page read back as its own script reads it. */
async function parse(page: string, survey: Survey): Promise<Parsed> {
  const json = /<script type="application\/json" id="header">(.*?)<\/script>/s.exec(page)![1]!;
  const header = JSON.parse(json) as Header;
  const numbers = new Map<string, Numbers>();
  for (const [, name, text] of page.matchAll(
    /<script type="text\/plain" data-section="([^"]+)">([^<]*)<\/script>/g,
  )) {
    numbers.set(name!, decode(await inflate(text!), header.sections[name!]!));
  }
  const weights = header.attention.map((a, k) =>
    headsFrom(a, survey.attentions[k]!.length, survey.attentions[k]!.keys, (name) =>
      numbers.get(`attention.${k}.${name}`),
    ),
  );
  return { header, numbers, weights };
}

const parsed = (survey: Survey, options = {}) => parse(reportHTML(survey, options), survey);

/** The largest |a - b| / bound(b) over all pairs. */
function excess(a: ArrayLike<number>, b: ArrayLike<number>, bound: (value: number) => number): number {
  expect(a.length).toBe(b.length);
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    const gap = Number.isNaN(b[i]!) && Number.isNaN(a[i]!) ? 0 : Math.abs(a[i]! - b[i]!) / bound(b[i]!);
    if (!(gap <= most)) most = gap;
  }
  return most;
}
const rowOf = (a: Survey["attentions"][number], head: number, i: number) =>
  a.weights.subarray((head * a.length + i) * a.keys, (head * a.length + i + 1) * a.keys);
/** Half a step of 255 in the root, and its square. */
const ofRoot = (max: number) => (v: number) => Math.sqrt(v * max) / 255 + max / 510 ** 2 + 1e-7;
const half = (max: number) => (v: number) => Math.abs(v) * 2 ** -11 + max * 6e-8 + 1e-12;

describe("what the page holds", () => {
  const cases: [string, Survey][] = [
    ["a decoder", syntheticSurvey({ length: 40, layers: 3, heads: 4 })],
    ["an encoder", syntheticSurvey({ length: 17, architecture: "encoder" })],
    ["an encoder–decoder", syntheticSurvey({ length: 12, source: 19 })],
    ["a single token", syntheticSurvey({ length: 1 })],
  ];
  test.each(cases)("is %s within the stated errors", async (_, survey) => {
    const { header, numbers, weights } = await parsed(survey);
    survey.attentions.forEach((a, k) => {
      for (let head = 0; head < a.heads; head++) {
        for (let i = 0; i < a.length; i++) {
          const row = weights[k]![head]!.row(i);
          expect(excess(row, rowOf(a, head, i), ofRoot(1))).toBeLessThanOrEqual(1);
          expect(Math.abs(row.reduce((x, y) => x + y, 0) - 1)).toBeLessThan(0.02);
        }
      }
      const sizes = numbers.get(`sizes.${k}`)!;
      expect(excess(sizes, a.sizes, ofRoot(header.sections[`sizes.${k}`]!.max!))).toBeLessThanOrEqual(1);
    });
    for (const { part, values } of survey.headEffects!.parts) {
      const name = `effects.${survey.attentions.findIndex((a) => a.part === part)}`;
      expect(excess(numbers.get(name)!, values, half(header.sections[name]!.max!))).toBeLessThanOrEqual(1);
    }
    expect(excess(numbers.get("target")!, survey.targetLogProbabilities!, half(16))).toBeLessThanOrEqual(1);
    expect(header.tokens.map((k) => header.strings[k])).toEqual(survey.tokens.map(({ text }) => text));
    expect(header.source?.map((k) => header.strings[k])).toEqual(survey.source?.map(({ text }) => text));
    expect(header.targets!.map((k) => header.strings[k])).toEqual(
      [...survey.targets!].map((id) => survey.strings[id]),
    );
  });

  test("is the lens: the best of each layer, five of the last", async () => {
    const survey = syntheticSurvey({ length: 9 });
    const { header, numbers } = await parsed(survey);
    const { ids, top, probabilities } = survey.lens!;
    const named = (name: string) => Array.from(numbers.get(name)!, (k) => header.strings[k]);
    const best = [...ids].filter((_, k) => k % top === 0).map((id) => survey.strings[id]);
    expect(named("lens.guess")).toEqual(best);
    expect(named("guesses")).toEqual([...ids.slice(-9 * top)].map((id) => survey.strings[id]));
    expect(
      excess(numbers.get("guesses.probability")!, probabilities.slice(-9 * top), half(1)),
    ).toBeLessThanOrEqual(1);
    expect([...numbers.get("lens.rank")!].slice(-9, -1)).toEqual(
      [...survey.lens!.targetRanks].slice(-9, -1).map((r) => r + 1),
    );
  });

  test("are the messages of each prediction, estimates marked", async () => {
    for (const isMeasured of [true, false]) {
      const survey = syntheticSurvey({ length: 8, isMeasured });
      const { header, numbers } = await parsed(survey);
      expect(header.messages).toEqual(survey.routes.map((route) => route?.messages.length ?? -1));
      const graph = numbers.get("graph")!;
      const max = header.sections.graph!.max!;
      survey.routes
        .flatMap((route) => route?.messages ?? [])
        .forEach((message, k) => {
          const [head, attention, to, from, root] = graph.subarray(k * 5, k * 5 + 5);
          expect(head).toBe(isMeasured ? message.head : -message.head);
          expect(survey.attentions[attention!]!.part).toBe(message.part);
          expect([to, from]).toEqual([message.to, message.from]);
          const effect = (root! / 32767) * Math.abs(root! / 32767) * max;
          expect(Math.abs(effect - message.effect)).toBeLessThan(
            1e-4 * Math.sqrt(Math.abs(message.effect) * max) + 1e-8,
          );
        });
    }
  });
});

describe("sizes", () => {
  test("12 layers of 12 heads and 128 tokens are less than 2 MB, all weights exact", async () => {
    const survey = syntheticSurvey({ length: 128, layers: 12, heads: 12, vocabSize: 8000 });
    const page = reportHTML(survey);
    console.info(`12 × 12 × 128: ${(page.length / 1e6).toFixed(2)} MB`);
    expect(page.length).toBeLessThan(2e6);
    const { header } = await parse(page, survey);
    expect(header.attention.every(({ dense }) => dense.length === 12)).toBe(true);
  });

  test("a longer text keeps important heads whole and pools the others by their largest weight", async () => {
    const survey = syntheticSurvey({ length: 256, layers: 6, heads: 6 });
    const whole = reportHTML(survey);
    const page = reportHTML(survey, { maxSize: Math.round(whole.length * 0.75) });
    expect(page.length).toBeLessThan(whole.length * 0.75);
    const { header, weights } = await parse(page, survey);
    const dense = header.attention.flatMap((a, k) => a.dense.map((head) => [k, head] as const));
    expect([24, 12, 6]).toContain(dense.length);
    expect(header.notes.join(" ")).toContain(`The attention of ${dense.length} of 36 heads is kept whole`);
    const strength = survey.headEffects!.parts.flatMap(({ values }, k) =>
      Array.from({ length: 6 }, (_, head) => ({
        k,
        head,
        most: Math.max(...values.slice(head * 256, (head + 1) * 256).map(Math.abs)),
      })),
    );
    strength.sort((a, b) => b.most - a.most);
    const expected = strength.slice(0, dense.length).map(({ k, head }) => `${k}.${head}`);
    expect(dense.map(([k, head]) => `${k}.${head}`).sort()).toEqual(expected.sort());
    const k = header.attention.findIndex(({ pooled }) => pooled.length > 0);
    const head = header.attention[k]!.pooled[0]!;
    const held = weights[k]![head]!;
    const most = (r: number, c: number) =>
      Math.max(
        ...[0, 1].flatMap((i) =>
          [0, 1].map((j) => rowOf(survey.attentions[k]!, head, 2 * r + i)[2 * c + j]!),
        ),
      );
    for (let r = 0; r < 128; r += 9) {
      for (let c = 0; c <= r; c++)
        expect(Math.abs(held.cell(r, c) - most(r, c))).toBeLessThan(ofRoot(1)(most(r, c)));
    }
  });

  test("from 1,024 tokens on all are pooled, and the largest of 24 heads' rows are exact", async () => {
    const survey = syntheticSurvey({ length: 1024, layers: 2, heads: 13 });
    const { header, weights } = await parsed(survey);
    expect(header.attention.flatMap(({ dense }) => dense)).toEqual([]);
    expect(header.attention.flatMap(({ top }) => top).length).toBe(24);
    const k = header.attention.findIndex(({ top }) => top.length > 0);
    const head = header.attention[k]!.top[0]!;
    const row = rowOf(survey.attentions[k]!, head, 700);
    const held = weights[k]![head]!.row(700);
    const best = [...row.keys()].sort((a, b) => row[b]! - row[a]!).slice(0, 4);
    expect([...held.keys()].filter((j) => held[j]! > 0).sort()).toEqual([...best].sort());
    for (const j of best) expect(Math.abs(held[j]! - row[j]!)).toBeLessThan(ofRoot(1)(row[j]!));
  });

  test("what cannot be small enough is refused with the size that it would have", () => {
    const survey = syntheticSurvey({ length: 200 });
    expect(() => reportHTML(survey, { maxSize: 1000 })).toThrow(/maxSize must be at least \d+ .*; got 1000/);
    expect(() => reportHTML(survey, { maxSize: -1 })).toThrow(
      /maxSize must be an integer of at least 1; got -1/,
    );
  });
});

test("nothing in a text or a title ends an element of the page", () => {
  const word = (id: number) => ["</script><b>", "<!--", "]]>", "\u2028", '"'][id % 5]!;
  const page = reportHTML(syntheticSurvey({ length: 20, word }), { title: "<b>$&</title>" });
  const plain = reportHTML(syntheticSurvey({ length: 20 }));
  const count = (text: string, what: string) => text.split(what).length - 1;
  expect(count(page, "<script")).toBe(count(page, "</script>"));
  for (const sign of ["<b>", "<!--"]) expect(count(page, sign)).toBe(count(plain, sign));
  expect(/<title>(.*)<\/title>/.exec(page)![1]).toBe(
    "&#60;b&#62;$&#38;&#60;/title&#62; · trainformer inspect",
  );
});

test("the file is written whole or not at all", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "trainformer-report-"));
  try {
    const file = path.join(folder, "report.html");
    const survey = syntheticSurvey({ length: 5 });
    await writeReport(file, survey);
    expect(readFileSync(file, "utf8") === reportHTML(survey)).toBe(true);
    await expect(writeReport(path.join(folder, "no", "report.html"), survey)).rejects.toThrow(
      /cannot be written/,
    );
    expect(existsSync(path.join(folder, "no"))).toBe(false);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe("the graph of messages", () => {
  const at = {
    1: { layer: 1, of: "tokens", from: "tokens" },
    2: { layer: 2, of: "tokens", from: "tokens" },
  } as const;
  const message = (layer: 1 | 2, head: number, from: number, to: number, effect: number) => ({
    ...{ attention: layer, head, from, to, effect, isMeasured: true },
  });
  const placeOf = (m: { attention: number }) => at[m.attention as 1 | 2];

  test("keeps what leads to the prediction and adds up heads that go the same way", () => {
    const messages = [
      message(1, 1, 2, 3, 5), // read at 3 by layer 2
      message(1, 2, 0, 1, 4), // read by nothing
      message(2, 1, 3, 6, 3),
      message(2, 2, 3, 6, -1),
    ];
    const lines = linesTo(6, messages, 10, placeOf);
    expect(lines.map(({ layer, from, to, effect }) => [layer, from.token, to, effect])).toEqual([
      [1, 2, 3, 5],
      [2, 3, 6, 2],
    ]);
    const { columns } = place(lines, 6, 100, 500);
    expect(columns.map(({ token, gap }) => [token, gap])).toEqual([
      [2, false],
      [3, false],
      [6, true],
    ]);
    expect(columns.at(-1)!.x).toBeLessThanOrEqual(600);
  });

  test("widths are linear in the effect", () => {
    expect(lineWidth(4, -8) - lineWidth(2, -8)).toBeCloseTo(lineWidth(-8, -8) - lineWidth(6, -8));
    expect(lineWidth(-8, 8)).toBe(8);
  });
});
