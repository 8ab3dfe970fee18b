/** Where words end for sure: at white space, and behind the full stops of scripts without it. */
const pieceOfWords = /[\s\S]{0,511}[^\s。、！？」』…]*[\s。、！？」』…]*/g;

/** The most units that are searched for the end of a sentence at first. */
const windowOfSentences = 4096;

/**
 * The words of `text` and what is between them (UAX #29), in pieces: V8's Intl.Segmenter takes a time for each segment
 * that grows with the whole text.
 */
export function* wordSegments(text: string, locale: string): Generator<Intl.SegmentData> {
  const segmenter = new Intl.Segmenter(locale, { granularity: "word" });
  for (const [piece] of text.matchAll(pieceOfWords)) yield* segmenter.segment(piece);
}

/**
 * The sentences of `text` (UAX #29), found in windows for the same reason. Where a sentence ends is decided by itself and
 * what follows, so that the search may begin anew at each of them; the last of a window may go on behind it.
 */
export function* sentenceSegments(text: string, locale: string): Generator<string> {
  const segmenter = new Intl.Segmenter(locale, { granularity: "sentence" });
  let size = windowOfSentences;
  for (let begin = 0; begin < text.length; ) {
    const window = text.slice(begin, begin + size);
    const isLast = begin + window.length === text.length;
    let sentence: string | undefined;
    let found = 0;
    for (const { segment } of segmenter.segment(window)) {
      if (sentence !== undefined) {
        yield sentence;
        found += sentence.length;
      }
      sentence = segment;
    }
    if (isLast) return yield sentence!;
    begin += found;
    size = found === 0 ? 2 * size : windowOfSentences;
  }
}
