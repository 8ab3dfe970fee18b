/** A probability as people read it; neither 0 % nor 100 % unless it is. */
export function percent(p: number): string {
  if (!Number.isFinite(p)) return "?";
  if (p === 1) return "100%";
  if (p > 0.995) return ">99%";
  if (p >= 0.0995) return `${Math.round(p * 100)}%`;
  if (p >= 0.001) return `${(p * 100).toFixed(1)}%`;
  return p === 0 ? "0%" : "<0.1%";
}

/** With its sign written, since color alone must not carry it. */
export const signed = (value: number, digits = 2): string =>
  `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;

export function ordinal(n: number): string {
  const tens = n % 100;
  const ending = tens >= 11 && tens <= 13 ? "th" : (["th", "st", "nd", "rd"][n % 10] ?? "th");
  return `${n.toLocaleString("en")}${ending}`;
}

export const plural = (n: number, noun: string): string =>
  `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

/** Three digits that count: 0.00123, 12.3, 1,230. */
export function brief(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
  return Number(value.toPrecision(3)).toString();
}

/** Without what would break or turn the text around it: control characters and marks of direction are seen as ␣. */
export const harmless = (text: string): string =>
  text.replace(/(?![\n\t])[\p{Cc}\p{Bidi_Control}\ufeff\u200b]/gu, "␣");

const visible = (text: string): string => harmless(text).replace(/\n/g, "↵").replace(/\t/g, "⇥");

/**
 * A token as a label: without its leading blank, and with a dot before it where it continues a word. What `isWhole`
 * continues nothing: it is the first of a text, or tokens do not tell where words begin.
 */
export function label(token: string, isWhole = false): string {
  if (token === "") return "∅";
  if (/^ +$/.test(token)) return "␣".repeat(Math.min(4, token.length));
  if (token.startsWith(" ")) return visible(token.slice(1));
  return !isWhole && /^[\p{L}\p{N}]/u.test(token) ? `·${visible(token)}` : visible(token);
}
