import { bytesOfToken } from "./byte-alphabet.ts";
import type { Fields } from "./fields.ts";
import { compilePattern } from "./pattern.ts";

/**
 * A step of decoding, that takes tokens one after the other and gives the texts that are settled.
 *
 * `decode` of all tokens is the same steps with all tokens, so that a stream gives the same text by construction.
 */
export interface DecodingStep {
  push(token: string): string[];
  end(): string[];
}

/** Makes a step with its own state. `isFused`: what comes in are the parts of one text and not tokens. */
export type Decoder = (isFused: boolean) => { readonly step: DecodingStep; readonly isFused: boolean };

const none: string[] = [];
const perToken = (change: (token: string) => string): DecodingStep => ({
  push: (token) => [change(token)],
  end: () => none,
});
/** Needs the whole text. */
const whole = (change: (text: string) => string): DecodingStep => {
  let text = "";
  return {
    push: (part) => {
      text += part;
      return none;
    },
    end: () => [change(text)],
  };
};
/** A decoder of single tokens, which takes one text for one token. */
const ofTokens =
  (change: (token: string) => string): Decoder =>
  (isFused) => ({ step: isFused ? whole(change) : perToken(change), isFused });

const replacements: readonly (readonly [string, string])[] = [
  [" .", "."],
  [" ?", "?"],
  [" !", "!"],
  [" ,", ","],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
];
/** English without the spaces that tokenizing put before its punctuation. */
export const cleanUp = (text: string): string =>
  replacements.reduce((result, [from, to]) => result.replaceAll(from, to), text);
/** The same with the one more that decoders have. */
const cleanUpToken = (token: string): string => cleanUp(token.replaceAll(" do not", " don't"));

/** All tokens are parts of one string of bytes; what is not UTF-8 becomes U+FFFD. */
const byteLevel: Decoder = (isFused) => {
  if (isFused) return { step: whole((text) => Buffer.from(bytesOfToken(text)).toString("utf8")), isFused };
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const step = {
    push: (token: string) => [decoder.decode(bytesOfToken(token), { stream: true })],
    end: () => [decoder.decode()],
  };
  return { step, isFused: true };
};

/** Runs of `<0x41>`: their UTF-8, or as many U+FFFD as there are tokens. */
const byteFallback: Decoder = (isFused) => {
  let bytes: number[] = [];
  const flush = (): string[] => {
    if (bytes.length === 0) return none;
    const run = Buffer.from(bytes);
    bytes = [];
    const text = run.toString("utf8");
    return Buffer.from(text).equals(run)
      ? [text]
      : run
          .toString("latin1")
          .split("")
          .map(() => "\ufffd");
  };
  const step: DecodingStep = {
    push: (token) => {
      const byte = /^<0x(\+?[0-9a-fA-F]{1,2})>$/.exec(token)?.[1];
      if (byte === undefined || token.length !== 6) return [...flush(), token];
      bytes.push(Number.parseInt(byte.replace("+", ""), 16));
      return none;
    },
    end: flush,
  };
  return isFused ? { step: whole((text) => text), isFused } : { step, isFused };
};

const fuse: Decoder = () => ({ step: perToken((token) => token), isFused: true });

function wordPiece(config: Fields): Decoder {
  const prefix = config.string("prefix", "##");
  const change = config.boolean("cleanup", true) ? cleanUpToken : (token: string) => token;
  return (isFused) => {
    let isFirst = true;
    const next = (token: string): string => {
      if (isFirst) {
        isFirst = false;
        return change(token);
      }
      return change(prefix !== "" && token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`);
    };
    return { step: isFused ? whole(next) : perToken(next), isFused };
  };
}

function metaspace(config: Fields): Decoder {
  const replacement = config.character("replacement", "▁");
  const hadPrefix = config.boolean("add_prefix_space", true);
  const schemes = { always: true, first: true, never: false };
  const hasPrefix = config.choice("prepend_scheme", schemes, hadPrefix ? "always" : "never");
  return (isFused) => {
    let isFirst = true;
    const next = (token: string): string => {
      const space = isFirst && hasPrefix ? "" : " ";
      isFirst = false;
      return token.replaceAll(replacement, space);
    };
    return { step: isFused ? whole(next) : perToken(next), isFused };
  };
}

/** A suffix ends words; the last word has no space after it. */
function bpe(config: Fields): Decoder {
  const suffix = config.string("suffix", "</w>");
  const change = (token: string, space: string) => (suffix === "" ? token : token.replaceAll(suffix, space));
  return (isFused) => {
    let waiting: string | undefined;
    const step: DecodingStep = {
      push: (token) => {
        const ready = waiting === undefined ? none : [change(waiting, " ")];
        waiting = token;
        return ready;
      },
      end: () => (waiting === undefined ? none : [change(waiting, "")]),
    };
    return { step: isFused ? whole((text) => change(text, "")) : step, isFused };
  };
}

/** Connectionist temporal classification: repeated tokens are one, the padding token is none. */
function ctc(config: Fields): Decoder {
  const padToken = config.string("pad_token", "<pad>");
  const delimiter = config.string("word_delimiter_token", "|");
  const isClean = config.boolean("cleanup", true);
  const without = (text: string, part: string, by: string) =>
    part === "" ? text : text.replaceAll(part, by);
  return (isFused) => {
    let previous: string | undefined;
    const next = (token: string): string => {
      if (token === previous) return "";
      previous = token;
      const text = without(token, padToken, "");
      return isClean ? without(cleanUpToken(text), delimiter, " ") : text;
    };
    return { step: isFused ? whole(next) : perToken(next), isFused };
  };
}

/** Takes up to `start` times `content` off the beginning and up to `stop` times off the end. */
function strip(config: Fields): Decoder {
  const content = config.character("content", " ");
  const start = config.integer("start", { fallback: 0 });
  const stop = config.integer("stop", { fallback: 0 });
  const stripped = (token: string): string => {
    let [from, to] = [0, token.length];
    for (let i = 0; i < start && token.startsWith(content, from); i++) from += content.length;
    for (let i = 0; i < stop && to > from && token.slice(from, to).endsWith(content); i++)
      to -= content.length;
    return token.slice(from, to);
  };
  /** The beginning of one text: what comes after it goes through. */
  const beginning = (): DecodingStep => {
    let left = start;
    return {
      push: (part) => {
        for (; left > 0 && part.startsWith(content); left--) part = part.slice(content.length);
        if (part !== "") left = 0;
        return [part];
      },
      end: () => none,
    };
  };
  return (isFused) => {
    if (!isFused) return { step: perToken(stripped), isFused };
    return { step: stop === 0 ? beginning() : whole(stripped), isFused };
  };
}

function replace(config: Fields): Decoder {
  const find = compilePattern(config);
  const content = config.string("content");
  return ofTokens((token) => {
    const matches = find(token);
    let [result, end] = ["", 0];
    for (let i = 0; i < matches.length; i += 2) {
      result += token.slice(end, matches[i]) + content;
      end = matches[i + 1]!;
    }
    return result + token.slice(end);
  });
}

/** Each step takes what the one before it gives. */
function sequence(config: Fields): Decoder {
  const decoders = config.objects("decoders").map(makeDecoder);
  return (isFused) => {
    const steps: DecodingStep[] = [];
    for (const decoder of decoders) {
      const made = decoder(isFused);
      steps.push(made.step);
      isFused = made.isFused;
    }
    const pass = (texts: string[], from: number): string[] =>
      steps.slice(from).reduce((given, step) => given.flatMap((text) => step.push(text)), texts);
    const step: DecodingStep = {
      push: (token) => pass([token], 0),
      end: () => steps.flatMap((ending, i) => pass(ending.end(), i + 1)),
    };
    return { step, isFused };
  };
}

const makers: Record<string, (config: Fields) => Decoder> = {
  BPEDecoder: bpe,
  ByteFallback: () => byteFallback,
  ByteLevel: () => byteLevel,
  CTC: ctc,
  Fuse: () => fuse,
  Metaspace: metaspace,
  Replace: replace,
  Sequence: sequence,
  Strip: strip,
  WordPiece: wordPiece,
};

/**
 * The decoder that a tokenizer.json describes.
 *
 * @throws CheckpointError on a type that is not known and on fields that do not fit it
 */
export function makeDecoder(config: Fields): Decoder {
  return config.choice("type", makers)(config);
}

/** Without a decoder, tokens are words with a space between them. */
export const wordsWithSpaces: Decoder = (isFused) => {
  let isFirst = true;
  const step = perToken((token) => {
    const space = isFirst ? "" : " ";
    isFirst = false;
    return space + token;
  });
  return { step, isFused };
};
