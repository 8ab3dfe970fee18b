import type { Line } from "./graph-layout.ts";

/** What is drawn of each line. */
export type Views = Map<Line, { path: SVGElement; curve: Curve; label: SVGElement | undefined }>;

/** Dims everything but one line. */
export function highlight(views: Views, picture: SVGElement, chosen: Line | undefined): void {
  picture.classList.toggle("dimmed", chosen !== undefined);
  for (const [line, { path, label }] of views) {
    path.classList.toggle("chosen", line === chosen);
    label?.classList.toggle("chosen", line === chosen);
  }
}

/** From one stream up to another; a token's message to itself bows out. */
export class Curve {
  private readonly points: readonly (readonly [number, number])[];

  constructor(x1: number, y1: number, x2: number, y2: number, rise: number) {
    const isOwn = x1 === x2;
    const bow = isOwn ? 17 : 0;
    const pull = rise * (isOwn ? 0.3 : 0.62);
    this.points = [
      [x1, y1],
      [x1 + bow, y1 - pull],
      [x2 + bow, y2 + pull],
      [x2, y2],
    ];
  }

  get path(): string {
    const [a, b, c, d] = this.points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`);
    return `M${a}C${b} ${c} ${d}`;
  }

  /** The point of the cubic at `t` in [0, 1]. */
  at(t: number): [number, number] {
    const u = 1 - t;
    const shares = [u ** 3, 3 * u * u * t, 3 * u * t * t, t ** 3];
    const along = (axis: 0 | 1) => this.points.reduce((sum, point, k) => sum + shares[k]! * point[axis], 0);
    return [along(0), along(1)];
  }
}
