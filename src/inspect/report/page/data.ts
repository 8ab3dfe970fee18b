import { label, ordinal } from "../../page/words.ts";
import { type Attention, type Header, type Message, numbersPerMessage, type Text } from "../header.ts";
import { decode, inflate, type Numbers } from "./decode.ts";
import { type HeadWeights, headsFrom } from "./weights.ts";

/** Everything that the file holds, decoded. */
export class Data {
  readonly header: Header;
  /** [attention][head - 1] */
  readonly weights: readonly (readonly HeadWeights[])[];
  /** By token. */
  readonly messages: readonly (readonly Message[] | undefined)[];
  /** Whether tokens tell by a blank before them that a word begins. */
  private readonly hasWords: boolean;
  private readonly numbers: ReadonlyMap<string, Numbers>;

  private constructor(header: Header, numbers: ReadonlyMap<string, Numbers>) {
    this.header = header;
    this.numbers = numbers;
    this.hasWords = header.strings.some((string) => /^ \S/.test(string));
    this.weights = header.attention.map((attention, k) =>
      headsFrom(attention, this.lengthOf(attention.of), this.lengthOf(attention.from), (name) =>
        numbers.get(`attention.${k}.${name}`),
      ),
    );
    this.messages = readGraph(header, numbers.get("graph"));
  }

  static async read(): Promise<Data> {
    const header = JSON.parse(document.getElementById("header")!.textContent!) as Header;
    const sections = [...document.querySelectorAll<HTMLElement>("script[data-section]")];
    const decoded = sections.map(async (element) => {
      const name = element.dataset.section!;
      const numbers = decode(await inflate(element.textContent!), header.sections[name]!);
      element.remove();
      return [name, numbers] as const;
    });
    return new Data(header, new Map(await Promise.all(decoded)));
  }

  get length(): number {
    return this.header.tokens.length;
  }
  lengthOf(text: Text): number {
    return text === "source" ? (this.header.source?.length ?? 0) : this.length;
  }
  tokens(text: Text): readonly number[] {
    return text === "source" ? (this.header.source ?? []) : this.header.tokens;
  }
  string(place: number): string {
    return this.header.strings[place]!;
  }
  /** A token of the vocabulary, as a label. */
  word(place: number): string {
    return label(this.string(place), !this.hasWords);
  }
  /** A token of a text, as a label. */
  token(text: Text, i: number): string {
    return label(this.string(this.tokens(text)[i]!), i === 0 || !this.hasWords);
  }
  /** What was to be predicted at token t, as a label. */
  target(t: number): string {
    const target = this.header.targets?.[t];
    return target === undefined ? "" : this.word(target);
  }
  /** Whether the text says what was to be predicted there. */
  isKnown(t: number): boolean {
    return this.header.targets !== undefined && (t < this.length - 1 || this.header.isEndKnown);
  }
  numbersOf(section: string): Float32Array | undefined {
    return this.numbers.get(section) as Float32Array | undefined;
  }
  get attention(): readonly Attention[] {
    return this.header.attention;
  }
  /** Log-probability of the target; NaN without one. */
  logProbability(t: number): number {
    return this.numbersOf("target")?.[t] ?? Number.NaN;
  }
  /** Of silencing a head (from 1); NaN: not measured. */
  headEffect(attention: number, head: number, t: number): number {
    return this.numbersOf(`effects.${attention}`)?.[(head - 1) * this.length + t] ?? Number.NaN;
  }
  /** "1.3", "cross 1.3" */
  headName(attention: number, head: number): string {
    const { stack, layer } = this.attention[attention]!;
    return `${stack === "" || stack === "decoder" ? "" : `${stack} `}${layer}.${head}`;
  }
  /** Place of the target among all tokens after the last layer, in words; undefined where unknown. */
  rank(t: number): number | undefined {
    return this.numbersOf("lens.rank")?.[this.header.layers * this.length + t] || undefined;
  }
  rankText(row: number, t: number): string {
    const rank = this.numbersOf("lens.rank")?.[row * this.length + t];
    return rank ? ordinal(rank) : "beyond the best";
  }
  /** The effects of messages from each token, added up; undefined where there was no time. */
  influence(t: number): { tokens: Float64Array; source: Float64Array } | undefined {
    const messages = this.messages[t];
    if (messages === undefined) return undefined;
    const sums = {
      tokens: new Float64Array(this.length),
      source: new Float64Array(this.lengthOf("source")),
    };
    for (const { attention, from, effect } of messages) {
      sums[this.attention[attention]!.from][from]! += effect;
    }
    return sums;
  }
}

function readGraph(header: Header, numbers: Numbers | undefined): (Message[] | undefined)[] {
  const max = header.sections.graph?.max ?? 0;
  let at = 0;
  return header.messages.map((count) => {
    if (count < 0 || numbers === undefined) return undefined;
    return Array.from({ length: count }, () => {
      const [head, attention, to, from, root] = numbers.subarray(
        at,
        (at += numbersPerMessage),
      ) as unknown as [...[number, number, number, number, number]];
      const effect = (root / 32767) * Math.abs(root / 32767) * max;
      return { attention, head: Math.abs(head), to, from, effect, isMeasured: head > 0 };
    });
  });
}
