import { ArgumentError } from "../errors.ts";

/** Throws unless `locale` is a well-formed BCP 47 tag. `name` reads like `cleanText: locale`. */
export function checkLocale(name: string, locale: unknown): Intl.Locale {
  try {
    if (typeof locale === "string") return new Intl.Locale(locale);
  } catch {
    // not well-formed
  }
  throw new ArgumentError(`${name} must be a BCP 47 language tag, like "en"; got ${String(locale)}`);
}
