import { describe, expect, it } from "vitest";
import { brownDocuments } from "../scripts/brown.mjs";
import { Random } from "../src/random.ts";
import { cleanText } from "../src/text/clean.ts";
import { decodeEntities, htmlToText } from "../src/text/clean-html.ts";
import { sentenceSegments, wordSegments } from "../src/text/segments.ts";
import { splitSentences, splitWords } from "../src/text/sentences.ts";
import { stopWordLanguages, stopWords } from "../src/text/stop-words.ts";

describe("htmlToText", () => {
  it("keeps what a reader sees", () => {
    const page = `<!doctype html><html><head><title>T</title><style>p > a { color: red }</style></head><body>
      <h1>Fish &amp;  chips</h1><!-- <p>not this</p> -->
      <p>one
         two<br>three <b>bo</b>ld<script>if (a < b) { document.write("<p>x</p>") }</script></p>
      <ul><li>x<li>y</ul><table><tr><td>1<td>2</tr><tr><td>3<td>4</table>
      <pre>a\n  b</pre><noscript>no</noscript>5 < 6</body></html>`;
    expect(htmlToText(page)).toBe(
      "Fish & chips\n\none two\nthree bold\n\nx\ny\n\n1\t2\n3\t4\n\na\n  b\n\n5 < 6",
    );
  });

  it("takes anything for HTML", () => {
    expect(htmlToText("no tags")).toBe("no tags");
    expect(htmlToText("<p>open <b>never closed")).toBe("open never closed");
    expect(htmlToText("</p></div>text</b>")).toBe("text");
    expect(htmlToText('a<a title="<p>">b</a><br/>c')).toBe("ab\nc");
    expect(htmlToText("<script>never closed")).toBe("");
    expect(htmlToText("<")).toBe("<");
    expect(htmlToText(`${"<div>".repeat(5000)}deep`)).toBe("deep");
    expect(htmlToText("<svg><title>icon</title></svg>text")).toBe("text");
    const random = new Random(1);
    const pieces = [
      "<p",
      ">",
      "</",
      "<!--",
      "-->",
      "&am",
      "&#x1F60;",
      "script",
      '"',
      "=",
      "\0",
      "é",
      "\ud800",
      "<pre>",
      "</",
    ];
    for (let i = 0; i < 500; i++) {
      const hostile = Array.from({ length: 30 }, () => pieces[random.integer(pieces.length)]).join("");
      expect(typeof htmlToText(hostile)).toBe("string");
    }
  });

  it("decodes entities", () => {
    expect(decodeEntities("caf&eacute; &#233; &#xE9; &amp;amp; &lt;b&gt; &nosuch; &notin; AT&T &copy")).toBe(
      "café é é &amp; <b> &nosuch; ∉ AT&T ©",
    );
  });
});

describe("cleanText", () => {
  it("makes Unicode, invisible characters and white space uniform, and leaves the rest", () => {
    expect(cleanText("  ﬁne\u00a0１²\u200b co\u00adop  \t x \r\n\r\n\n\n y\u2028z\ufeff\u0007z ")).toBe(
      "fine 12 coop x\n\ny\nzz",
    );
    expect(cleanText("a\ud800b")).toBe("a\ufffdb");
    const family = "👩‍👩‍👧 नमस्ते می‌خواهم"; // with the joiners that they need
    expect(cleanText(family)).toBe(family);
    expect(cleanText("e\u0301")).toBe("\u00e9");
    expect(cleanText("①\u00a0 x\n y", { unicode: "keep", whitespace: "keep" })).toBe("①\u00a0 x\n y");
    expect(cleanText("a\n\n b\tc", { whitespace: "spaces" })).toBe("a b c");
    expect(cleanText("a\u0007b", { controls: "keep" })).toBe("a\u0007b");
  });

  it("has HTML, entities, case and accents as options", () => {
    expect(cleanText("<p>A&nbsp;&nbsp;B</p><p>C</p>", { html: true })).toBe("A B\n\nC");
    expect(cleanText("1 <b> 2 &amp; 3")).toBe("1 <b> 2 &amp; 3");
    expect(cleanText("1 <b> 2 &amp; 3", { entities: true })).toBe("1 <b> 2 & 3");
    expect(cleanText("ÉCOLE Straße", { lowercase: true })).toBe("école straße");
    expect(cleanText("ISI", { lowercase: true, locale: "tr" })).toBe("ısı");
    expect(cleanText("Éçole über Ångström", { stripAccents: true })).toBe("Ecole uber Angstrom");
  });

  it("drops stop words of several languages", () => {
    expect(cleanText("The cat and the dog were on the mat.", { stopWords: "en" })).toBe("cat dog mat.");
    expect(cleanText("L’homme et la mer", { stopWords: "fr", locale: "fr" })).toBe("homme mer");
    expect(cleanText("der Hund and the cat", { stopWords: ["de", "en"] })).toBe("Hund cat");
    expect(cleanText("alpha beta", { stopWords: new Set(["beta"]) })).toBe("alpha");
    expect(cleanText("Où était l’école", { stopWords: "fr", locale: "fr", stripAccents: true })).toBe(
      "ecole",
    );
    expect(stopWords("en").has("the")).toBe(true);
    expect(stopWords("eng")).toBe(stopWords("en-GB"));
    expect(stopWordLanguages().length).toBeGreaterThan(50);
    for (const language of stopWordLanguages())
      expect(stopWords(language).size, language).toBeGreaterThan(10);
  });

  it("changes nothing the second time", () => {
    const random = new Random(2);
    for (let i = 0; i < 300; i++) {
      const text = Array.from({ length: 40 }, () => {
        const codePoint = random.integer([0x80, 0x2100, 0x10000, 0x1f700][random.integer(4)]!);
        return String.fromCodePoint(codePoint);
      }).join("");
      for (const options of [
        {},
        { lowercase: true },
        { stripAccents: true },
        { whitespace: "spaces" as const },
      ]) {
        const once = cleanText(text, options);
        expect(cleanText(once, options)).toBe(once);
        expect(once).not.toMatch(/\p{Surrogate}/u);
      }
    }
  });

  it("refuses what it does not know", () => {
    const error = (message: string) =>
      expect.objectContaining({ code: "ERR_ARGUMENT", message: expect.stringContaining(message) });
    expect(() => cleanText(1 as never)).toThrow(error("cleanText: text must be a string; got 1"));
    expect(() => cleanText("", { unicode: "NFX" as never })).toThrow(
      error("cleanText: unicode must be one of"),
    );
    expect(() => cleanText("", { whitespace: "none" as never })).toThrow(error("whitespace must be"));
    expect(() => cleanText("", { controls: true as never })).toThrow(error("controls must be"));
    expect(() => cleanText("", { locale: "not a locale" })).toThrow(error("cleanText: locale must be"));
    expect(() => cleanText("", { stopWords: "tlh" })).toThrow(
      error("stopWords: language must be one of af, ar"),
    );
    expect(() => cleanText("", { stopWords: 3 as never })).toThrow(error("cleanText: stopWords must be"));
    expect(() => splitSentences(1 as never)).toThrow(error("splitSentences: text"));
    expect(() => splitSentences("", "??")).toThrow(error("splitSentences: locale"));
    expect(() => splitWords("", "??")).toThrow(error("splitWords: locale"));
  });
});

describe("splitSentences", () => {
  it("knows abbreviations, initials and quotations", () => {
    const text =
      'Mr. Smith met Dr. J. Doe at 3 p.m. in St. Louis. "Really?" she asked. It cost $3.50, i.e. nothing! So am I. Bye.';
    expect(splitSentences(text)).toEqual([
      "Mr. Smith met Dr. J. Doe at 3 p.m. in St. Louis.",
      '"Really?" she asked.',
      "It cost $3.50, i.e. nothing!",
      "So am I.",
      "Bye.",
    ]);
    expect(splitSentences("Das ist z. B. Herr Dr. Müller. Er ist da.", "de")).toEqual([
      "Das ist z. B. Herr Dr. Müller.",
      "Er ist da.",
    ]);
    expect(splitSentences("今日は。元気ですか？はい！", "ja")).toEqual([
      "今日は。",
      "元気ですか？",
      "はい！",
    ]);
    expect(splitSentences("A line\nanother line\n\n  ")).toEqual(["A line", "another line"]);
    expect(splitSentences("Siehe Abk. Foo ist da.", "en", { abbreviations: ["abk"] })).toHaveLength(1);
    expect(splitSentences("Mr. Smith came.", "en", { abbreviations: [] })).toEqual(["Mr.", "Smith came."]);
    expect(splitSentences("")).toEqual([]);
  });

  it("loses nothing, and finds the sentences of Brown", () => {
    const solid = (text: string) => text.replace(/\s/g, "");
    const ends = (sentences: string[]) => {
      let end = 0;
      return new Set(sentences.map((sentence) => (end += solid(sentence).length)));
    };
    const score = (options = {}) => {
      let [found, right, all] = [0, 0, 0];
      for (const { text } of brownDocuments().filter((_, i) => i % 10 === 0)) {
        const gold = text.split("\n").map((line) =>
          line
            .replace(/`` ?| ?''/g, '"')
            .replace(/ ([.,;:?!)])/g, "$1")
            .replace(/([.?!]) ([.?!])/g, "$1"),
        );
        const sentences = splitSentences(gold.join(" "), "en", options);
        expect(solid(sentences.join(""))).toBe(solid(gold.join("")));
        const expected = ends(gold);
        for (const end of ends(sentences)) right += Number(expected.has(end));
        found += sentences.length;
        all += gold.length;
      }
      return { precision: right / found, recall: right / all };
    };
    const { precision, recall } = score();
    expect(precision).toBeGreaterThan(0.99);
    expect(recall).toBeGreaterThan(0.9); // the rest end in a colon, a semicolon or nothing
    expect(score({ abbreviations: [] }).precision).toBeLessThan(0.95); // Unicode's rules alone
  });
});

it("splitWords separates words, also where no space does", () => {
  expect(splitWords("It's 3.5 kg, isn't it?")).toEqual(["It's", "3.5", "kg", "isn't", "it"]);
  expect(splitWords("東京に行く", "ja")).toEqual(["東京", "に", "行く"]);
});

describe("segments of long texts", () => {
  const english = brownDocuments()
    .slice(0, 3)
    .map(({ text }) => text)
    .join(" ");
  const chinese = "我们在北京大学学习人工智能，今天天气很好。他说：“你好！”".repeat(60);
  const hostile = "don't 3.5 e.g. A.B.C. 🇫🇷🇩🇪👩‍👩‍👧 e\u0301 \ud800 ".repeat(200);
  const oneSentence = "word, ".repeat(4000);

  it.each([
    ["en", english],
    ["en", english.replaceAll("\n", " ")],
    ["zh", chinese],
    ["en", hostile],
    ["en", oneSentence],
    ["en", "x".repeat(10_000)],
    ["en", ""],
  ])("are those of the whole text: %s %#", (locale, text) => {
    const whole = (granularity: "word" | "sentence") =>
      Array.from(new Intl.Segmenter(locale, { granularity }).segment(text), ({ segment }) => segment);
    const words = (segments: string[]) => segments.filter((segment) => /[\p{L}\p{N}]/u.test(segment));
    const found = Array.from(wordSegments(text, locale), ({ segment }) => segment);
    expect(found.join("")).toBe(text);
    expect(words(found)).toEqual(words(whole("word")));
    expect([...sentenceSegments(text, locale)]).toEqual(whole("sentence"));
  });

  it("take a time that grows with the text", () => {
    const large = english.replaceAll("\n", " ").repeat(40);
    expect(large.length).toBeGreaterThan(1e6);
    expect(splitWords(large).length).toBeGreaterThan(2e5);
    expect(splitSentences(large).length).toBeGreaterThan(1e4);
  }, 20_000);
});
