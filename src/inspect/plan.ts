import { ArgumentError, show } from "../errors.ts";
import type { Anatomy } from "./anatomy.ts";
import type { Inputs } from "./inputs.ts";
import { type MessageShape, messageShapes } from "./message-shapes.ts";
import { matches, nearest } from "./names.ts";
import { type Region, regionOf } from "./region.ts";
import type { Edit, Keep, TraceOptions } from "./types.ts";

/** An edit of one message. */
export interface PlannedEdit {
  readonly edit: Edit;
  readonly message: MessageShape;
  readonly region: Region;
}

/** What a run is to do, checked. */
export interface Plan {
  /** All messages of the run, in order, up to the last one. */
  readonly messages: ReadonlyMap<string, MessageShape>;
  readonly kept: ReadonlySet<string>;
  /** By message, in the order in which they were given. */
  readonly edits: ReadonlyMap<string, readonly PlannedEdit[]>;
  /** By which messages gradients are wanted; undefined: no backward pass. */
  readonly gradients: ReadonlySet<string> | undefined;
  readonly stopAfter: string | undefined;
}

const small = ["**.embed.*", "**.layer.1.in", "**.layer.*.out", "**.final.norm", "logits"];
const presets: Readonly<Record<Keep, readonly string[]>> = {
  small,
  attention: [...small, "**.weights"],
  all: ["**"],
};
const isPreset = (name: string): name is Keep => Object.hasOwn(presets, name);

/** The messages that `pattern` means. @throws ERR_ARGUMENT if there is none */
function named(pattern: string, all: readonly MessageShape[], sent: readonly MessageShape[], what: string) {
  const isMeant = ({ name }: MessageShape) => matches(pattern, name);
  const found = sent.filter(isMeant);
  if (found.length > 0) return found;
  if (all.some(isMeant)) {
    throw new ArgumentError(`trace: ${what} "${pattern}" comes after stopAfter "${sent.at(-1)!.name}"`);
  }
  const meant = nearest(
    pattern,
    all.map(({ name }) => name),
  );
  throw new ArgumentError(`trace: ${what}: no message "${pattern}"; did you mean "${meant}"?`);
}

/** @throws ERR_ARGUMENT on a name that the model doesn't send, a place that a message doesn't have */
export function planOf(anatomy: Anatomy, inputs: Inputs, options: TraceOptions): Plan {
  const { keep = "small", edits = [], stopAfter, gradOf } = options;
  const lengths = { tokens: inputs.tokens.length, source: inputs.source?.length ?? 0 };
  const all = messageShapes(anatomy, lengths);
  const last =
    stopAfter === undefined ? all.length - 1 : all.indexOf(named(stopAfter, all, all, "stopAfter").at(-1)!);
  const sent = all.slice(0, last + 1);
  if (gradOf !== undefined && !sent.some(({ name }) => name === "logits")) {
    const why =
      stopAfter === undefined ? "this model gives none of that name" : `stopAfter is "${stopAfter}"`;
    throw new ArgumentError(`trace: gradOf needs logits, but ${why}`);
  }
  const kept = new Set<string>();
  const patterns = typeof keep === "string" ? [keep] : keep;
  if (!Array.isArray(patterns) || patterns.some((pattern) => typeof pattern !== "string"))
    throw new ArgumentError(`trace: keep must be a name or an array of names; got ${show(keep)}`);
  for (const pattern of patterns) {
    const found = isPreset(pattern)
      ? presets[pattern].flatMap((p) => sent.filter(({ name }) => matches(p, name)))
      : named(pattern, all, sent, "keep");
    for (const { name } of found) kept.add(name);
  }
  const planned = new Map<string, PlannedEdit[]>();
  if (
    !Array.isArray(edits) ||
    edits.some((e) => typeof e?.name !== "string" || typeof e.apply !== "function")
  )
    throw new ArgumentError(`trace: edits must be an array of edits, { name, apply }; got ${show(edits)}`);
  for (const edit of edits) {
    for (const message of named(edit.name, all, sent, "edits")) {
      const one = { edit, message, region: regionOf(edit, message) };
      planned.set(message.name, [...(planned.get(message.name) ?? []), one]);
    }
  }
  return {
    ...{ kept, edits: planned, stopAfter, gradients: gradOf === undefined ? undefined : kept },
    messages: new Map(sent.map((message) => [message.name, message])),
  };
}
