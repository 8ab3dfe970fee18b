import type { Data } from "./data.ts";

export const shadings = ["surprise", "influence", "reads"] as const;
export type Shading = (typeof shadings)[number];
export type Measure = "weight" | "message";

/** What is looked at, and how: one for all views, kept in the address. */
export interface Sight {
  /** Of the text that is predicted, from 0. */
  readonly token: number;
  /** Of the encoder's text: which row its heads are asked for. */
  readonly source: number;
  readonly attention: number;
  /** From 1. */
  readonly head: number;
  readonly shading: Shading;
  readonly measure: Measure;
  /** Messages that are drawn at most. */
  readonly count: number;
}

export class Selection {
  private readonly data: Data;
  private readonly drawn: (before: Sight | undefined) => void;
  private readonly theme: () => string | undefined;
  now: Sight;

  constructor(data: Data, drawn: (before: Sight | undefined) => void, theme: () => string | undefined) {
    this.data = data;
    this.drawn = drawn;
    this.theme = theme;
    this.now = this.fromAddress();
    addEventListener("hashchange", () => {
      const before = this.now;
      this.now = this.fromAddress();
      drawn(before);
    });
  }

  set(change: Partial<Sight>): void {
    const before = this.now;
    this.now = this.valid({ ...before, ...change });
    this.remember();
    this.drawn(before);
  }

  /** The address that reopens this sight; entries of the history are not made. */
  remember(): void {
    const { token, source, attention, head, shading, measure, count } = this.now;
    const values: Record<string, string> = {
      token: String(token),
      ...(this.data.header.source ? { source: String(source) } : {}),
      head: `${attention + 1}.${head}`,
      shade: shading,
      map: measure,
      count: String(count),
    };
    const theme = this.theme();
    if (theme) values.theme = theme;
    history.replaceState(null, "", `#${new URLSearchParams(values)}`);
  }

  private fromAddress(): Sight {
    const given = new URLSearchParams(location.hash.slice(1));
    const start = opening(this.data, given.has("token") ? Number(given.get("token")) : undefined);
    const [attention, head] = given.has("head")
      ? given.get("head")!.split(".").map(Number)
      : [start.attention + 1, start.head];
    return this.valid({
      token: start.token,
      source: Number(given.get("source") ?? 0),
      attention: attention! - 1,
      head: head!,
      shading: given.get("shade") as Shading,
      measure: given.get("map") as Measure,
      count: Number(given.get("count") ?? 14),
    });
  }

  /** Whatever an address says, a sight that exists. */
  private valid(sight: Sight): Sight {
    const within = (value: number, low: number, high: number) =>
      Number.isFinite(value) ? Math.max(low, Math.min(high, Math.round(value))) : low;
    const attention = within(sight.attention, 0, Math.max(0, this.data.attention.length - 1));
    return {
      token: within(sight.token, 0, this.data.length - 1),
      source: within(sight.source, 0, Math.max(0, this.data.lengthOf("source") - 1)),
      attention,
      head: within(sight.head, 1, this.data.attention[attention]?.heads ?? 1),
      shading: shadings.includes(sight.shading) ? sight.shading : "surprise",
      measure: sight.measure === "message" ? "message" : "weight",
      count: within(sight.count, 4, 40),
    };
  }
}

/** Where a single head matters most, weighed by how likely the right word was; without effects, the surest prediction. */
function opening(data: Data, given?: number): { token: number; attention: number; head: number } {
  const best = { token: given ?? 0, attention: 0, head: 1, value: -Infinity };
  const last = data.isKnown(data.length - 1) ? data.length : data.length - 1;
  const [from, to] = given === undefined ? [Math.min(2, Math.max(0, last - 1)), last] : [given, given + 1];
  for (let t = from; t < to; t++) {
    const p = Math.exp(data.logProbability(t)) || 0;
    if (given === undefined && p * 1e-9 > best.value) Object.assign(best, { token: t, value: p * 1e-9 });
    data.attention.forEach(({ heads }, attention) => {
      for (let head = 1; head <= heads; head++) {
        const effect = data.headEffect(attention, head, t);
        const value = given === undefined ? effect * p : effect;
        if (value > best.value) Object.assign(best, { token: t, attention, head, value });
      }
    });
  }
  return best;
}
