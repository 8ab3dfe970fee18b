import { type AddedToken, addedTokenOf } from "./added-tokens.ts";
import type { Fields } from "./fields.ts";

/** The tokens that have a purpose, by their names in Hugging Face's files. */
export const specialTokenNames = {
  bosToken: "bos_token",
  eosToken: "eos_token",
  unkToken: "unk_token",
  sepToken: "sep_token",
  padToken: "pad_token",
  clsToken: "cls_token",
  maskToken: "mask_token",
} as const;

export type SpecialTokenName = keyof typeof specialTokenNames;

export type SpecialTokens = { [name in SpecialTokenName]?: string };

/** A special token as a user or a file gives it: what is left out is false. */
export type NewToken = string | ({ content: string } & Partial<Omit<AddedToken, "id" | "special">>);

/** An entry of special_tokens_map.json or tokenizer_config.json: a string, or an object with `content`. */
export function specialTokenOf(fields: Fields, key: string): NewToken | undefined {
  const value = fields.get(key);
  if (value === undefined) return undefined;
  if (typeof value === "string") return fields.string(key);
  const { id: _, special: __, ...token } = addedTokenOf(fields.object(key), 0);
  return { ...token, normalized: fields.object(key).boolean("normalized", false) };
}

/** The special tokens of a tokenizer, and their ids. */
export abstract class SpecialTokenHolder {
  protected readonly specialTokens: SpecialTokens = {};

  abstract tokenToId(token: string): number | undefined;

  get bosToken(): string | undefined {
    return this.specialTokens.bosToken;
  }
  get eosToken(): string | undefined {
    return this.specialTokens.eosToken;
  }
  get unkToken(): string | undefined {
    return this.specialTokens.unkToken;
  }
  get sepToken(): string | undefined {
    return this.specialTokens.sepToken;
  }
  get padToken(): string | undefined {
    return this.specialTokens.padToken;
  }
  get clsToken(): string | undefined {
    return this.specialTokens.clsToken;
  }
  get maskToken(): string | undefined {
    return this.specialTokens.maskToken;
  }
  get bosTokenId(): number | undefined {
    return this.#idOf("bosToken");
  }
  get eosTokenId(): number | undefined {
    return this.#idOf("eosToken");
  }
  get unkTokenId(): number | undefined {
    return this.#idOf("unkToken");
  }
  get sepTokenId(): number | undefined {
    return this.#idOf("sepToken");
  }
  get padTokenId(): number | undefined {
    return this.#idOf("padToken");
  }
  get clsTokenId(): number | undefined {
    return this.#idOf("clsToken");
  }
  get maskTokenId(): number | undefined {
    return this.#idOf("maskToken");
  }

  #idOf(name: SpecialTokenName): number | undefined {
    const token = this.specialTokens[name];
    return token === undefined ? undefined : this.tokenToId(token);
  }
}
