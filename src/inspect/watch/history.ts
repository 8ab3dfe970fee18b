/** A line of `watch.jsonl`. Numbers that are not finite are strings, as in `metrics.jsonl`. */
export type WatchLine = Begin | Logged | LayerNorms | Sample | Probe | End;

export interface Begin {
  readonly kind: "begin";
  readonly step: number;
  readonly time: number;
  readonly title: string;
  readonly facts: readonly string[];
  readonly maxSteps: number;
  /** Gradients longer than this are clipped; 0: none is. */
  readonly maxGradNorm: number;
  /** Groups of parameters, bottom to top, whose norms follow. */
  readonly layers: readonly string[];
  /** The text whose heads are shown, where it is one. */
  readonly probe?: string;
}

/** What the trainer logged, by Hugging Face's names. */
export interface Logged {
  readonly kind: "log";
  readonly step: number;
  readonly time: number;
  readonly values: Readonly<Record<string, number | string>>;
}

/** Per group of parameters: length of its gradient, and of its last update relative to the weights. */
export interface LayerNorms {
  readonly kind: "layers";
  readonly step: number;
  readonly gradients: readonly (number | string)[];
  readonly ratios: readonly (number | string)[];
}

/** What the model writes behind a prompt. */
export interface Sample {
  readonly kind: "sample";
  readonly step: number;
  readonly prompt: string;
  readonly text: string;
}

/** What the heads do on the probe. */
export interface Probe {
  readonly kind: "probe";
  readonly step: number;
  /** Cross entropy, nats: of a text said twice, where it is said again. Undefined without a vocabulary. */
  readonly loss?: number | string;
  /** [layer, head], both from 1, and the shares of its attention on the token before and on that after an earlier copy. */
  readonly heads: readonly (readonly [layer: number, head: number, previous: number, afterCopy: number])[];
}

export interface End {
  readonly kind: "end";
  readonly step: number;
  readonly time: number;
}

export type Point = readonly [step: number, value: number];

/** Points of a series that are kept. */
export const pointsKept = 2000;

/**
 * At most `limit` points in their order: of each of limit/2 stretches of steps the lowest and the highest, so that spikes
 * survive, and always the last.
 */
export function thinned(points: readonly Point[], limit = pointsKept): Point[] {
  if (points.length <= limit) return [...points];
  const last = points.at(-1)!;
  const count = Math.floor((limit - 1) / 2);
  const kept: Point[] = [];
  for (let k = 0; k < count; k++) {
    const from = Math.floor((k * points.length) / count);
    const to = Math.floor(((k + 1) * points.length) / count);
    let [low, high] = [from, from];
    for (let i = from + 1; i < to; i++) {
      if (points[i]![1] < points[low]![1]) low = i;
      if (points[i]![1] > points[high]![1]) high = i;
    }
    kept.push(points[Math.min(low, high)]!);
    if (low !== high) kept.push(points[Math.max(low, high)]!);
  }
  if (kept.at(-1) !== last) kept.push(last);
  return kept;
}

/** Rows of numbers of which each stretch keeps its largest, column by column. */
export function thinnedRows<R extends { readonly step: number }>(
  rows: readonly R[],
  limit: number,
  most: (a: R, b: R) => R,
): R[] {
  if (rows.length <= limit) return [...rows];
  return Array.from({ length: limit }, (_, k) => {
    const stretch = rows.slice(
      Math.floor((k * rows.length) / limit),
      Math.floor(((k + 1) * rows.length) / limit),
    );
    return stretch.reduce(most);
  });
}

export interface LayerRow {
  readonly step: number;
  readonly gradients: readonly number[];
  readonly ratios: readonly number[];
}

/** Rows of layers' norms that are kept. */
const rowsKept = 1000;

const largestOf = (a: readonly number[], b: readonly number[]): number[] =>
  a.map((value, k) => (Number.isNaN(value) || Number.isNaN(b[k]!) ? Number.NaN : Math.max(value, b[k]!)));
const largestRow = (a: LayerRow, b: LayerRow): LayerRow => ({
  step: b.step,
  gradients: largestOf(a.gradients, b.gradients),
  ratios: largestOf(a.ratios, b.ratios),
});

/** All that a page shows of a run, as JSON. */
export interface HistoryData {
  readonly begin: Begin | undefined;
  readonly end: End | undefined;
  /** Of the newest line, seconds since 1970. */
  readonly time: number;
  readonly series: Readonly<Record<string, readonly Point[]>>;
  readonly rows: readonly LayerRow[];
  readonly samples: readonly Sample[];
  readonly probes: readonly Probe[];
}

/** What happened in a run, thinned as it grows: its size has a bound, however long the run is. */
export class History {
  begin: Begin | undefined;
  end: End | undefined;
  time = 0;
  private readonly points = new Map<string, Point[]>();
  rows: LayerRow[] = [];
  samples: Sample[] = [];
  probes: Probe[] = [];

  static from(data: HistoryData): History {
    const history = new History();
    history.begin = data.begin;
    history.end = data.end;
    history.time = data.time;
    for (const [name, points] of Object.entries(data.series)) {
      history.points.set(
        name,
        points.map(([step, value]) => [step, Number(value)]),
      );
    }
    history.rows = data.rows.map(numericRow);
    history.samples = [...data.samples];
    history.probes = [...data.probes];
    return history;
  }

  series(name: string): readonly Point[] {
    return this.points.get(name) ?? [];
  }
  latest(name: string): number | undefined {
    return this.series(name).at(-1)?.[1];
  }
  /** Updates made. */
  get step(): number {
    const logged = this.series("loss").at(-1)?.[0] ?? 0;
    return Math.max(logged, this.rows.at(-1)?.step ?? 0, this.end?.step ?? 0, this.begin?.step ?? 0);
  }

  add(line: WatchLine): void {
    if ("time" in line) this.time = line.time;
    switch (line.kind) {
      case "begin":
        this.begin = line;
        this.end = undefined;
        break;
      case "end":
        this.end = line;
        break;
      case "log":
        for (const [name, value] of Object.entries(line.values)) this.point(name, line.step, Number(value));
        break;
      case "layers":
        this.rows.push(numericRow(line));
        if (this.rows.length > 2 * rowsKept) this.rows = thinnedRows(this.rows, rowsKept, largestRow);
        break;
      case "sample":
        this.samples.push(line);
        break;
      case "probe":
        this.probes.push(line);
        break;
    }
  }

  private point(name: string, step: number, value: number): void {
    const points = this.points.get(name) ?? [];
    points.push([step, value]);
    this.points.set(name, points.length > 2 * pointsKept ? thinned(points) : points);
  }

  data(): HistoryData {
    const series = [...this.points].map(([name, points]) => [name, thinned(points)] as const);
    const { begin, end, time, samples, probes } = this;
    const rows = thinnedRows(this.rows, rowsKept, largestRow);
    return { begin, end, time, series: Object.fromEntries(series), rows, samples, probes };
  }
}

const numericRow = ({ step, gradients, ratios }: LayerRow | LayerNorms): LayerRow => ({
  step,
  gradients: gradients.map((value) => (value === null ? Number.NaN : Number(value))),
  ratios: ratios.map((value) => (value === null ? Number.NaN : Number(value))),
});
