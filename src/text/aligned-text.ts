/**
 * A text that was normalized or cut, and where each of its UTF-16 units comes from in the original text.
 *
 * A unit carries the range of the original character that it replaces; what was inserted carries that of the character
 * before it. These are the alignments of Hugging Face's `NormalizedString`, in UTF-16 units instead of bytes.
 */
export class AlignedText {
  readonly text: string;
  /** Where the text begins in the original. */
  readonly origin: number;
  readonly #starts: Int32Array | undefined;
  readonly #ends: Int32Array | undefined;

  /** Without `starts` and `ends` [text.length], the text is the original from `origin` on. */
  constructor(text: string, origin = 0, starts?: Int32Array, ends?: Int32Array) {
    this.text = text;
    this.origin = origin;
    this.#starts = starts;
    this.#ends = ends;
  }

  /** Where the character that begins at unit `i` begins in the original. */
  start(i: number): number {
    return this.#starts ? this.#starts[i]! : this.origin + i;
  }

  /** Where the character whose last unit is `i` ends in the original. */
  end(i: number): number {
    return this.#ends ? this.#ends[i]! : this.origin + i + 1;
  }

  /** The units from `from` up to `to`, not empty, between characters. */
  slice(from: number, to: number): AlignedText {
    if (from === 0 && to === this.text.length && this.start(0) === this.origin) return this;
    const text = this.text.slice(from, to);
    const [starts, ends] = [this.#starts?.subarray(from, to), this.#ends?.subarray(from, to)];
    return new AlignedText(text, this.start(from), starts, ends);
  }

  /** The same alignment for another text of the same length whose characters stand at the same places. */
  withText(text: string): AlignedText {
    return new AlignedText(text, this.origin, this.#starts, this.#ends);
  }
}

/** Writes a text anew, from its beginning to its end, and keeps the alignment. */
export class Rewriter {
  readonly #source: AlignedText;
  #text = "";
  #length = 0;
  #starts: Int32Array;
  #ends: Int32Array;
  /** The unit of the source that comes next. */
  #next = 0;

  constructor(source: AlignedText) {
    this.#source = source;
    this.#starts = new Int32Array(source.text.length + 16);
    this.#ends = new Int32Array(source.text.length + 16);
  }

  /** Writes the next `length` units as they are. */
  keep(length: number): void {
    const end = this.#next + length;
    this.#reserve(length);
    for (let i = this.#next; i < end; ) {
      const width = this.#source.text.codePointAt(i)! > 0xffff ? 2 : 1;
      const from = this.#source.start(i);
      const to = this.#source.end(i + width - 1);
      for (const last = i + width; i < last; i++, this.#length++) {
        this.#starts[this.#length] = from;
        this.#ends[this.#length] = to;
      }
    }
    this.#text += this.#source.text.slice(this.#next, end);
    this.#next = end;
  }

  /** Writes `text` for the next character and leaves out the `more` characters after it. */
  replace(text: string, more = 0): void {
    const width = this.#width();
    this.#write(text, this.#source.start(this.#next), this.#source.end(this.#next + width - 1));
    this.#next += width;
    this.skip(more);
  }

  /** Leaves out the next `count` characters. */
  skip(count: number): void {
    for (let i = 0; i < count && this.#next < this.#source.text.length; i++) this.#next += this.#width();
  }

  /** Writes `text` with the alignment of the character before. */
  insert(text: string): void {
    const before = this.#next - 1;
    if (before < 0) return this.#write(text, this.#source.origin, this.#source.origin);
    const isLow = before > 0 && this.#source.text.codePointAt(before - 1)! > 0xffff;
    this.#write(text, this.#source.start(isLow ? before - 1 : before), this.#source.end(before));
  }

  /** Writes `text` with the alignment of the character that comes next. */
  prepend(text: string): void {
    this.#write(text, this.#source.start(this.#next), this.#source.end(this.#next + this.#width() - 1));
  }

  /** The new text; what was not reached of the old one is left out. */
  finish(): AlignedText {
    const [starts, ends] = [this.#starts.subarray(0, this.#length), this.#ends.subarray(0, this.#length)];
    return new AlignedText(this.#text, this.#source.origin, starts, ends);
  }

  #width(): number {
    return this.#source.text.codePointAt(this.#next)! > 0xffff ? 2 : 1;
  }

  #reserve(length: number): void {
    if (this.#length + length <= this.#starts.length) return;
    const size = 2 * (this.#length + length);
    const [starts, ends] = [new Int32Array(size), new Int32Array(size)];
    starts.set(this.#starts);
    ends.set(this.#ends);
    [this.#starts, this.#ends] = [starts, ends];
  }

  #write(text: string, start: number, end: number): void {
    this.#reserve(text.length);
    this.#starts.fill(start, this.#length, this.#length + text.length);
    this.#ends.fill(end, this.#length, this.#length + text.length);
    this.#length += text.length;
    this.#text += text;
  }
}
