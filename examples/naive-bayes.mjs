/** Words of a text whose tokens stand apart, as the Brown corpus has them. */
const wordsOf = (text) => text.toLowerCase().split(/\s+/);

/**
 * Multinomial naive Bayes on words: the class with the largest log P(class) + Σ log P(word | class), words that training
 * has not seen left out.
 *
 * @param examples  { text, label } with labels 0, 1, …
 * @param smoothing added to the count of each word; one is Laplace's
 * @param onceEach  whether a word counts once a text
 * @returns what gives the label of a text
 */
export function naiveBayes(examples, { smoothing = 1, onceEach = false } = {}) {
  const take = (text) => (onceEach ? new Set(wordsOf(text)) : wordsOf(text));
  const classes = Array.from({ length: 1 + Math.max(...examples.map(({ label }) => label)) }, () => ({
    texts: 0,
    words: 0,
    counts: new Map(),
  }));
  const vocabulary = new Set();
  for (const { text, label } of examples) {
    const of = classes[label];
    of.texts++;
    for (const word of take(text)) {
      of.words++;
      of.counts.set(word, (of.counts.get(word) ?? 0) + 1);
      vocabulary.add(word);
    }
  }
  return (text) => {
    const words = [...take(text)].filter((word) => vocabulary.has(word));
    const scores = classes.map(({ texts, words: total, counts }) => {
      const unit = Math.log(total + smoothing * vocabulary.size);
      const likelihood = words.reduce(
        (sum, word) => sum + Math.log((counts.get(word) ?? 0) + smoothing) - unit,
        0,
      );
      return Math.log(texts / examples.length) + likelihood;
    });
    return scores.indexOf(Math.max(...scores));
  };
}
