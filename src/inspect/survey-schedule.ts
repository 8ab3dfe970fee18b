import type { Anatomy } from "./anatomy.ts";
import { effectsOf, partsOf } from "./effects.ts";
import type { Inputs } from "./inputs.ts";
import { type RouteResult, routeOf } from "./route.ts";
import type { Survey } from "./survey-types.ts";
import type { Effects, Lens } from "./types.ts";

/** How much of the time message graphs may take before the effects of heads have their turn. */
const shareOfRoutes = 0.6;

interface Clock {
  readonly budget: number;
  elapsed(): number;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ((what: string, share: number) => void) | undefined;
}

/** What a survey measures while there is time. */
export class SurveySchedule {
  private readonly anatomy: Anatomy;
  private readonly inputs: Inputs;
  private readonly clock: Clock;
  private readonly lens: Lens | undefined;
  private readonly results: (RouteResult | undefined)[];
  private readonly parts: Effects["parts"][number][] = [];

  constructor(anatomy: Anatomy, inputs: Inputs, lens: Lens | undefined, clock: Clock) {
    [this.anatomy, this.inputs, this.lens, this.clock] = [anatomy, inputs, lens, clock];
    this.results = new Array<undefined>(inputs.tokens.length).fill(undefined);
  }

  async measure(): Promise<Pick<Survey, "routes" | "mlpEstimates" | "headEffects" | "notMeasured">> {
    const { anatomy, results } = this;
    const T = results.length;
    if (this.lens === undefined) {
      const why = `${anatomy.model.constructor.name} has no logits of tokens: no lens, messages or effects`;
      return {
        routes: results.map(() => undefined),
        mlpEstimates: undefined,
        headEffects: undefined,
        notMeasured: [why],
      };
    }
    const order = changesOfMind(this.lens);
    const all = partsOf(anatomy, "heads");
    const left = await this.routes(order, shareOfRoutes);
    const unmeasured = await this.effects(all.map(({ part }) => part));
    const without = await this.routes(left, 1);
    const L = anatomy.bodies.at(-1)!.blocks.length;
    const mlpEstimates = new Float32Array(T * L).fill(NaN);
    for (const [t, result] of results.entries()) if (result) mlpEstimates.set(result.mlps, t * L);
    const notMeasured = [
      ...(without.length > 0 ? [`the messages behind ${without.length} of ${T} predictions`] : []),
      ...(unmeasured.length > 0 ? [`the heads of ${unmeasured.join(", ")}`] : []),
    ];
    const headEffects =
      this.parts.length === 0 ? undefined : { of: "heads" as const, length: T, parts: this.inOrder(all) };
    const routes = results.map(
      (r) => r && { to: r.to, token: r.token, isMeasured: true, messages: r.messages },
    );
    return { routes, mlpEstimates, headEffects, notMeasured };
  }

  private hasTime(share: number): boolean {
    this.clock.signal?.throwIfAborted();
    return this.clock.elapsed() < share * this.clock.budget;
  }

  private tell(what: string): void {
    this.clock.onProgress?.(what, Math.min(1, this.clock.elapsed() / this.clock.budget));
  }

  /** Gives the positions that it did not come to. */
  private async routes(order: readonly number[], share: number): Promise<number[]> {
    for (const [n, t] of order.entries()) {
      if (!this.hasTime(share)) return order.slice(n);
      this.tell(`messages, prediction ${n + 1} of ${order.length}`);
      this.results[t] = await routeOf(this.anatomy, this.inputs, t, this.signalled());
    }
    return [];
  }

  /** Gives the parts that it did not come to: those of the last layers first, as they speak last. */
  private async effects(parts: readonly string[]): Promise<string[]> {
    const order = parts.toReversed();
    for (const [n, part] of order.entries()) {
      if (!this.hasTime(1)) return order.slice(n).toReversed();
      this.tell(`heads of ${part}`);
      const { parts: made } = await effectsOf(this.anatomy, this.inputs, {
        parts: [part],
        ...this.signalled(),
      });
      this.parts.push(...made);
    }
    return [];
  }

  private signalled(): { signal?: AbortSignal } {
    return this.clock.signal ? { signal: this.clock.signal } : {};
  }

  /** All parts; NaN where there was no time. */
  private inOrder(all: ReturnType<typeof partsOf>): Effects["parts"] {
    const T = this.inputs.tokens.length;
    return all.map(({ part, heads }) => {
      const made = this.parts.find((p) => p.part === part);
      return made ?? { part, heads, values: new Float32Array(heads * T).fill(NaN) };
    });
  }
}

/** Positions in the order of how far the probability of what comes moved from layer to layer, in nats. */
function changesOfMind({ names, length: T, targetProbabilities: p }: Lens): number[] {
  const moved = Array.from({ length: T }, (_, t) => {
    let sum = 0;
    for (let r = 1; r < names.length; r++)
      sum += Math.abs(Math.log(p[r * T + t]! + 1e-9) - Math.log(p[(r - 1) * T + t]! + 1e-9));
    return Number.isNaN(sum) ? 0 : sum;
  });
  return moved.map((_, t) => t).sort((a, b) => moved[b]! - moved[a]! || a - b);
}
