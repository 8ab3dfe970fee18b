import type { Fields } from "./fields.ts";
import { PairTable } from "./pair-table.ts";
import { Vocabulary } from "./vocabulary.ts";
import { unknownId, type WordModel } from "./word-model.ts";

/** An unknown character costs so much more than the least likely piece. */
const unknownPenalty = 10;

/**
 * The most likely segmentation of a word when pieces are drawn independently: Viterbi over all pieces of the vocabulary.
 * Neighbouring unknown characters make one unknown token.
 *
 * @see Kudo 2018, "Subword Regularization"
 */
export function unigramModel(config: Fields): WordModel {
  const vocabulary = new Vocabulary();
  const pieces = config.list("vocab");
  const scores = new Float64Array(pieces.length);
  const children = new PairTable(2 * pieces.length); // (node of the trie, UTF-16 unit) → node
  const pieceAt: number[] = [-1]; // of each node, the id of the piece that ends there
  let leastScore = Infinity;
  pieces.forEach((entry, id) => {
    const isPair = Array.isArray(entry) && entry.length === 2;
    const [piece, score]: unknown[] = isPair ? entry : [];
    if (typeof piece !== "string" || /\p{Surrogate}/u.test(piece) || !Number.isFinite(score)) {
      throw config.error("vocab", "a list of pairs of a piece and the logarithm of its probability", entry);
    }
    vocabulary.set(piece, id);
    scores[id] = score as number;
    leastScore = Math.min(leastScore, score as number);
    let node = 0;
    for (let i = 0; i < piece.length; i++) {
      let child = children.get(node, piece.charCodeAt(i));
      if (child < 0) {
        child = pieceAt.push(-1) - 1;
        children.set(node, piece.charCodeAt(i), child);
      }
      node = child;
    }
    pieceAt[node] = node === 0 ? -1 : id;
  });
  const max = pieces.length - 1;
  const unknownPiece = config.get("unk_id") === undefined ? undefined : config.integer("unk_id", { max });
  const unknown = unknownPiece === undefined ? undefined : vocabulary.token(unknownPiece);
  const hasByteTokens = config.boolean("byte_fallback", false);
  const byteIds = Array.from({ length: 256 }, (_, byte) =>
    vocabulary.id(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`),
  );

  /** The best path: of each place, where the piece that ends there begins, and its id. */
  const bestPath = (word: string): { begins: Int32Array; ids: Int32Array } => {
    const begins = new Int32Array(word.length + 1).fill(-1);
    const ids = new Int32Array(word.length + 1);
    const best = new Float64Array(word.length + 1);
    const consider = (start: number, end: number, id: number, score: number) => {
      const total = best[start]! + score;
      if (begins[end]! >= 0 && total <= best[end]!) return;
      best[end] = total;
      begins[end] = start;
      ids[end] = id;
    };
    for (let start = 0; start < word.length; ) {
      const width = word.codePointAt(start)! > 0xffff ? 2 : 1;
      let hasCharacter = false;
      let node = 0;
      for (let end = start; end < word.length; ) {
        node = children.get(node, word.charCodeAt(end++));
        if (node < 0) break;
        const id = pieceAt[node]!;
        if (id < 0) continue;
        consider(start, end, id, scores[id]!);
        hasCharacter ||= end === start + width;
      }
      if (!hasCharacter) {
        const id = unknownPiece ?? unknownId(vocabulary, unknown, word);
        consider(start, start + width, id, leastScore - unknownPenalty);
      }
      start += width;
    }
    return { begins, ids };
  };

  return {
    vocabulary,
    ...(unknown === undefined ? {} : { unknown }),
    tokens: (word) => {
      const { begins, ids } = bestPath(word);
      const spans: [start: number, end: number][] = [];
      let isAfterUnknown = false;
      for (let end = word.length; end > 0; end = begins[end]!) {
        const isUnknown = ids[end] === unknownPiece;
        if (isUnknown && isAfterUnknown) spans.at(-1)![0] = begins[end]!;
        else spans.push([begins[end]!, end]);
        isAfterUnknown = isUnknown;
      }
      const result = { ids: [] as number[], starts: [] as number[], ends: [] as number[] };
      for (const [start, end] of spans.reverse()) {
        const piece = word.slice(start, end);
        const id = vocabulary.id(piece);
        const bytes = id === undefined && hasByteTokens ? [...Buffer.from(piece)].map((b) => byteIds[b]) : [];
        const hasBytes = bytes.length > 0 && !bytes.includes(undefined);
        for (const token of hasBytes ? bytes : [id ?? unknownId(vocabulary, unknown, piece)]) {
          result.ids.push(token!);
          result.starts.push(start);
          result.ends.push(end);
        }
      }
      return result;
    },
  };
}
