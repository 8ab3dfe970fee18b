import { noGrad } from "../../autograd.ts";
import type { Device } from "../../device.ts";
import { scope, unscoped } from "../../memory.ts";
import type { AnyModule } from "../../nn/module.ts";
import { copyInto } from "../../op.ts";
import { sub } from "../../ops/elementwise.ts";
import { sumsOfSquares } from "../../ops/squares.ts";
import { Tensor } from "../../tensor.ts";

/** Parameters of a layer, or what belongs to none. */
interface Group {
  readonly label: string;
  readonly parameters: Tensor[];
}

/** `decoder.blocks.2.attention.query.weight` belongs to "decoder layer 3", `tokens.weight` is "outside". */
function groupsOf(model: AnyModule): Group[] {
  const groups = new Map<string, Tensor[]>();
  for (const [name, parameter] of model.namedParameters()) {
    const [, before, place] = /^(.*?)\.?\w+\.(\d+)\./.exec(name) ?? [];
    const body = before ? `${before} ` : "";
    const label = place === undefined ? "outside" : `${body}layer ${Number(place) + 1}`;
    groups.set(label, [...(groups.get(label) ?? []), parameter]);
  }
  return [...groups].map(([label, parameters]) => ({ label, parameters }));
}

/**
 * How long the gradient of each layer is, and how far an update moves its largest matrix relative to its length. Both are
 * enqueued behind what makes them, and nothing waits: a read of every gradient, and for the matrices a copy and a read.
 */
export class LayerMonitor {
  readonly labels: readonly string[];
  private readonly groups: readonly Group[];
  private readonly device: Device;
  private before: { matrix: Tensor; copy: Tensor }[] = [];
  private squares: Tensor | undefined;

  constructor(model: AnyModule) {
    this.groups = groupsOf(model);
    this.labels = this.groups.map(({ label }) => label);
    this.device = this.groups[0]!.parameters[0]!.device;
  }

  /** Call when the gradients are complete and nothing is updated yet. */
  beforeUpdate(): void {
    this.drop();
    noGrad(() =>
      unscoped(() => {
        this.squares = sumsOfSquares(
          this.groups.map(({ parameters }) => parameters.flatMap((p) => p.gradient ?? [])),
          this.device,
        );
        this.before = this.groups.map(({ parameters }) => {
          const matrix = parameters.reduce((a, b) => (b.size > a.size ? b : a));
          const copy = Tensor.empty(matrix.shape, "f32", matrix.device);
          scope(() => copyInto(matrix, copy));
          return { matrix, copy };
        });
      }),
    );
  }

  /** Call when the update is enqueued: what `beforeUpdate` asked for, once it is computed. Undefined if it was not. */
  async afterUpdate(): Promise<{ gradients: number[]; ratios: number[] } | undefined> {
    const { squares, before } = this;
    if (squares === undefined) return undefined;
    this.squares = undefined;
    this.before = [];
    const moved = noGrad(() =>
      unscoped(() => {
        const differences = before.map(({ matrix, copy }) => sub(matrix, copy));
        const sums = [
          sumsOfSquares(
            differences.map((d) => [d]),
            this.device,
          ),
          sumsOfSquares(
            before.map(({ matrix }) => [matrix]),
            this.device,
          ),
        ];
        for (const t of [...differences, ...before.map(({ copy }) => copy)]) t.dispose();
        return sums as [Tensor, Tensor];
      }),
    );
    const [gradients, differences, weights] = await Promise.all(
      [squares, ...moved].map((t) => t.toTypedArray()),
    );
    for (const t of [squares, ...moved]) t.dispose();
    return {
      gradients: Array.from(gradients!, Math.sqrt),
      ratios: Array.from(differences!, (difference, k) => Math.sqrt(difference / weights![k]!)),
    };
  }

  /** Frees what an update that was left out did not use. */
  drop(): void {
    this.squares?.dispose();
    for (const { copy } of this.before) copy.dispose();
    this.squares = undefined;
    this.before = [];
  }
}
