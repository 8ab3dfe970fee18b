import type { Encoding } from "./encoding.ts";
import { emptyEncoding } from "./encoding.ts";
import type { Fields } from "./fields.ts";

/** Adds special tokens around one or two texts, and decides their type ids. */
export interface PostProcessor {
  /** How many special tokens it adds. */
  added(isPair: boolean): number;
  /** Changes and joins encodings. `tokenOf` gives the token of an id. */
  process(encodings: Encoding[], addsSpecialTokens: boolean, tokenOf: TokenOf): Encoding[];
}

type TokenOf = (id: number) => string | undefined;

const special = (id: number, typeId: number): Encoding => ({
  ids: [id],
  starts: [-1],
  ends: [-1],
  sequence: [-1],
  typeIds: [typeId],
});

/** All encodings in one. */
export function concatenate(encodings: readonly Encoding[]): Encoding {
  if (encodings.length === 1) return encodings[0]!;
  const result = emptyEncoding();
  for (const { ids, starts, ends, sequence, typeIds } of encodings) {
    for (let i = 0; i < ids.length; i++) {
      result.ids.push(ids[i]!);
      result.starts.push(starts[i]!);
      result.ends.push(ends[i]!);
      result.sequence.push(sequence[i]!);
      result.typeIds.push(typeIds[i]!);
    }
  }
  return result;
}

const leadingSpace = /^[Ġ\p{White_Space}]*/u;
const trailingSpace = /(?<![Ġ\p{White_Space}])[Ġ\p{White_Space}]*$/u;

/** Leaves the white space of tokens out of their offsets, but a space that was put before the text. */
function trimOffsets({ ids, starts, ends, sequence }: Encoding, hasPrefix: boolean, tokenOf: TokenOf): void {
  for (let i = 0; i < ids.length; i++) {
    if (sequence[i]! < 0) continue;
    const token = tokenOf(ids[i]!) ?? "";
    let leading = leadingSpace.exec(token)![0].length;
    const trailing = trailingSpace.exec(token)![0].length;
    if (leading > 0) {
      if (leading === 1 && hasPrefix && (i === 0 || starts[i] === 0)) leading = 0;
      starts[i] = Math.min(starts[i]! + leading, ends[i]!);
    }
    if (trailing > 0 && ends[i]! >= trailing) ends[i] = Math.max(ends[i]! - trailing, starts[i]!);
  }
}

function byteLevel(config: Fields): PostProcessor {
  const trims = config.boolean("trim_offsets", true);
  const hasPrefix = config.boolean("add_prefix_space", true);
  return {
    added: () => 0,
    process: (encodings, _, tokenOf) => {
      if (trims) for (const encoding of encodings) trimOffsets(encoding, hasPrefix, tokenOf);
      return encodings;
    },
  };
}

/** The id of `[token, id]`. */
function pairOf(config: Fields, key: string): number {
  const pair = config.list(key);
  const isPair = pair.length === 2 && typeof pair[0] === "string" && Number.isInteger(pair[1]);
  if (!isPair || (pair[1] as number) < 0) throw config.error(key, "a pair of a token and its id");
  return pair[1] as number;
}

/** `[CLS] A [SEP] B [SEP]` */
function bert(config: Fields): PostProcessor {
  const [cls, sep] = [pairOf(config, "cls"), pairOf(config, "sep")];
  return {
    added: (isPair) => (isPair ? 3 : 2),
    process: (encodings, addsSpecialTokens) => {
      if (!addsSpecialTokens) return encodings;
      return encodings.flatMap((encoding, i) => [
        ...(i === 0 ? [special(cls, 0)] : []),
        encoding,
        special(sep, Math.min(i, 1)),
      ]);
    },
  };
}

/** `<s> A </s></s> B </s>`, all of type 0 */
function roberta(config: Fields): PostProcessor {
  const [cls, sep] = [pairOf(config, "cls"), pairOf(config, "sep")];
  const trims = config.boolean("trim_offsets", true);
  const hasPrefix = config.boolean("add_prefix_space", true);
  return {
    added: (isPair) => (isPair ? 4 : 2),
    process: (encodings, addsSpecialTokens, tokenOf) => {
      for (const encoding of encodings) {
        if (trims) trimOffsets(encoding, hasPrefix, tokenOf);
        encoding.typeIds.fill(0);
      }
      if (!addsSpecialTokens) return encodings;
      return encodings.flatMap((encoding, i) => [special(i === 0 ? cls : sep, 0), encoding, special(sep, 0)]);
    },
  };
}

/** A piece of a template: special tokens, or one of the texts. */
interface Piece {
  readonly ids?: readonly number[];
  readonly sequence?: number;
  readonly typeId: number;
}

function template(config: Fields): PostProcessor {
  const idsOf = (name: string): readonly number[] => {
    const token = config.object("special_tokens").object(name);
    const ids = token.list("ids");
    if (!ids.every((id) => Number.isInteger(id) && (id as number) >= 0 && (id as number) < 2 ** 31)) {
      throw token.error("ids", "a list of ids");
    }
    return ids as number[];
  };
  const piecesOf = (key: string, sequences: number): Piece[] =>
    config.objects(key).map((fields) => {
      const token = fields.optionalObject("SpecialToken");
      if (token) return { ids: idsOf(token.string("id")), typeId: token.integer("type_id") };
      const text = fields.object("Sequence");
      const sequence = text.choice("id", { A: 0, B: 1 });
      if (sequence >= sequences) throw text.error("id", "A in the template of a single text");
      return { sequence, typeId: text.integer("type_id") };
    });
  const [single, pair] = [piecesOf("single", 1), config.get("pair") ? piecesOf("pair", 2) : []];
  const count = (pieces: Piece[]) => pieces.reduce((sum, { ids }) => sum + (ids?.length ?? 0), 0);
  return {
    added: (isPair) => count(isPair ? pair : single),
    process: (encodings, addsSpecialTokens) =>
      (encodings.length > 1 ? pair : single).flatMap(({ ids, sequence, typeId }) => {
        if (ids) return addsSpecialTokens ? ids.map((id) => special(id, typeId)) : [];
        const encoding = encodings[sequence!]!;
        return [{ ...encoding, typeIds: encoding.ids.map(() => typeId) }];
      }),
  };
}

function sequence(config: Fields): PostProcessor {
  const processors = config.objects("processors").map(makePostProcessor);
  return {
    added: (isPair) => processors.reduce((sum, processor) => sum + processor.added(isPair), 0),
    process: (encodings, addsSpecialTokens, tokenOf) =>
      processors.reduce(
        (result, processor) => processor.process(result, addsSpecialTokens, tokenOf),
        encodings,
      ),
  };
}

const makers: Record<string, (config: Fields) => PostProcessor> = {
  BertProcessing: bert,
  ByteLevel: byteLevel,
  RobertaProcessing: roberta,
  Sequence: sequence,
  TemplateProcessing: template,
};

/**
 * The post-processor that a tokenizer.json describes.
 *
 * @throws CheckpointError on a type that is not known and on fields that do not fit it
 */
export function makePostProcessor(config: Fields): PostProcessor {
  return config.choice("type", makers)(config);
}
