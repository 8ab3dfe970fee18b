import type { Message, Text } from "../header.ts";

/** Messages of all heads of a layer that go the same way, drawn as one line. */
export interface Line {
  readonly layer: number;
  readonly from: { readonly text: Text; readonly token: number };
  readonly to: number;
  effect: number;
  readonly messages: Message[];
}

/** A token that takes part: where it is drawn, and between which levels it carries something. */
export interface Column {
  readonly text: Text;
  readonly token: number;
  readonly x: number;
  /** Whether tokens between it and the column before it are left out. */
  readonly gap: boolean;
}

export interface Placed {
  readonly lines: readonly Line[];
  readonly columns: readonly Column[];
  /** Pixels from a column to the next. */
  readonly spacing: number;
}

interface Place {
  readonly layer: number;
  readonly from: Text;
  readonly of: Text;
}

/**
 * The strongest `count` messages that lead to `target`, as lines: a message to another token counts only if something later
 * reads that token. `messages` are strongest first.
 */
export function linesTo(
  target: number,
  messages: readonly Message[],
  count: number,
  placeOf: (message: Message) => Place,
): Line[] {
  let kept = messages.filter((m) => placeOf(m).of === "tokens").slice(0, count);
  const isRead = (m: Message): boolean =>
    m.to === target ||
    kept.some((o) => o.from === m.to && placeOf(o).from === "tokens" && placeOf(o).layer > placeOf(m).layer);
  for (let before = -1; before !== kept.length; ) {
    before = kept.length;
    kept = kept.filter(isRead);
  }
  const lines = new Map<string, Line>();
  for (const message of kept) {
    const { layer, from } = placeOf(message);
    const key = `${layer} ${from} ${message.from} ${message.to}`;
    const line = lines.get(key) ?? {
      layer,
      from: { text: from, token: message.from },
      to: message.to,
      effect: 0,
      messages: [],
    };
    line.effect += message.effect;
    line.messages.push(message);
    lines.set(key, line);
  }
  return [...lines.values()].sort((a, b) => Math.abs(b.effect) - Math.abs(a.effect));
}

/** Puts the tokens that take part side by side, those of the source first, in `width` pixels from `left`. */
export function place(lines: readonly Line[], target: number, left: number, width: number): Placed {
  const seen = { source: new Set<number>(), tokens: new Set([target]) };
  for (const line of lines) {
    seen[line.from.text].add(line.from.token);
    seen.tokens.add(line.to);
  }
  const order = (["source", "tokens"] as const).flatMap((text) =>
    [...seen[text]].sort((a, b) => a - b).map((token) => ({ text, token })),
  );
  const isGap = (k: number) => {
    const [a, b] = [order[k - 1], order[k]!];
    return a !== undefined && (a.text !== b.text || b.token > a.token + 1);
  };
  const steps: number[] = order.map((_, k) => (k === 0 ? 0 : isGap(k) ? 1.45 : 1));
  const spacing = Math.min(
    132,
    width /
      Math.max(
        1,
        steps.reduce((sum, step) => sum + step, 0),
      ),
  );
  let x = left;
  const columns = order.map((column, k) => {
    x += steps[k]! * spacing;
    return { ...column, x, gap: isGap(k) };
  });
  return { lines, columns, spacing };
}

/** Pixels of a line's width: linear in its effect, 8 for the strongest. */
export const lineWidth = (effect: number, strongest: number): number =>
  1 + 7 * Math.abs(effect / (strongest || 1));
