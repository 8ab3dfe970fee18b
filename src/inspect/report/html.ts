import { ArgumentError, checkInteger } from "../../errors.ts";
import { writeAtomically } from "../../io/files.ts";
import type { AttentionMap, Survey } from "../survey-types.ts";
import type { Attention, Header } from "./header.ts";
import { PageFile } from "./page-file.ts";
import { putEffects, putGraph, putLens, putWrites, Strings } from "./put.ts";
import { Sections } from "./sections.ts";
import { type HeadPlan, headsOf, type Plan, plans, poolSize, store } from "./storage.ts";

export interface ReportOptions {
  /** What the page is called. Default: the survey's `model`. */
  title?: string;
  /** What is said beside it, after sizes and loss, such as "2,685 steps". */
  facts?: readonly string[];
  /** The most bytes that the file may have; longer texts keep less of their attention. Default 5,000,000. */
  maxSize?: number;
}

/**
 * The page about one model and one text, as a survey found them: one file that needs nothing else and asks the network for
 * nothing. Attention is exact to 0.0039 · √weight.
 *
 * @throws ArgumentError if it cannot be as small as `maxSize`, with the size that it would have
 */
export function reportHTML(survey: Survey, options: ReportOptions = {}): string {
  const maxSize = checkInteger("reportHTML: maxSize", options.maxSize ?? 5e6, 1);
  const page = new PageFile("report");
  const title = options.title ?? survey.model;
  const strings = new Strings(survey);
  const common = new Sections();
  const rest = {
    format: "trainformer-report/1" as const,
    title,
    facts: [...factsOf(survey), ...(options.facts ?? [])],
    tokens: survey.tokens.map((token) => strings.ofToken(token)),
    source: survey.source?.map((token) => strings.ofToken(token)),
    reads: survey.architecture === "encoder" ? ("same" as const) : ("next" as const),
    targets: survey.targets && Array.from(survey.targets, (id) => strings.ofId(id)),
    isEndKnown: survey.lens === undefined || (survey.lens.targets.at(-1) ?? -1) >= 0,
    layers: survey.layers,
    vocabSize: survey.vocabSize,
    writes: putWrites(survey, common),
    messages: putGraph(survey, common),
  };
  putEffects(survey, common);
  putLens(survey, strings, common);
  let smallest = Infinity;
  for (const plan of plans(survey)) {
    const sections = new Sections();
    survey.attentions.forEach((a, k) => store(sections, `attention.${k}`, a, plan[k]!));
    const header: Header = {
      ...rest,
      attention: survey.attentions.map((a, k) => attentionHeader(a, plan[k]!)),
      notes: notesOf(survey, plan),
      strings: strings.list,
      sections: { ...common.headers, ...sections.headers },
    };
    const file = page.with(title, header, `${common.html()}\n${sections.html()}`);
    const size = Buffer.byteLength(file);
    if (size <= maxSize) return file;
    smallest = Math.min(smallest, size);
  }
  throw new ArgumentError(
    `reportHTML: maxSize must be at least ${smallest} for this text and model, even with pooled attention; got ${maxSize}`,
  );
}

/** Writes `reportHTML` to a file, which afterwards holds all of it or what it held before. */
export async function writeReport(path: string, survey: Survey, options?: ReportOptions): Promise<void> {
  await writeAtomically(path, [Buffer.from(reportHTML(survey, options))]);
}

function factsOf({ layers, attentions, hiddenSize, parameters, source, tokens, loss }: Survey): string[] {
  const heads = attentions[0]?.heads ?? 0;
  const millions =
    parameters >= 1e6 ? `${(parameters / 1e6).toPrecision(3)} M` : parameters.toLocaleString("en");
  return [
    `${layers} layers × ${heads} heads × ${hiddenSize}`,
    `${millions} parameters`,
    ...(loss === undefined ? [] : [`loss ${loss.toFixed(2)} on this text`]),
    `${source === undefined ? "" : `${source.length} + `}${tokens.length} tokens`,
  ];
}

function attentionHeader(a: AttentionMap, plan: readonly HeadPlan[]): Attention {
  return {
    stack: a.kind === "cross" ? "cross" : a.part.replace(/\.?layer\..*/, ""),
    layer: a.layer,
    heads: a.heads,
    of: a.of,
    from: a.from,
    causal: a.causal,
    kinds: Array.from({ length: a.heads }, (_, h) => [
      a.kinds[h]?.kind ?? "broad",
      round(a.kinds[h]?.share ?? 0),
    ]),
    dense: headsOf(plan, "dense"),
    pooled: headsOf(plan, "pooled", "pooled and top"),
    top: headsOf(plan, "pooled and top"),
    grid: [Math.min(poolSize, a.length), Math.min(poolSize, a.keys)],
  };
}

const round = (share: number): number => Math.round(share * 1e4) / 1e4;

/** How the numbers came about, what there was no time for, and what the file leaves out. */
function notesOf(survey: Survey, plan: Plan): string[] {
  const heads = plan.flat();
  const dense = heads.filter((how) => how === "dense").length;
  const top = heads.filter((how) => how === "pooled and top").length;
  const notes = [
    `Measured in ${survey.seconds.toFixed(0)} s on this text alone: a message, or a head, is taken out of a pass of its own, and the fall of the log-odds is its effect. What was not measured is marked so. This file makes no network requests.`,
    ...(survey.notMeasured.length === 0 ? [] : [`Not measured: ${survey.notMeasured.join("; ")}.`]),
  ];
  if (dense === heads.length) return notes;
  const whole =
    dense > 0
      ? `The attention of ${dense} of ${heads.length} heads is kept whole; of the others`
      : "Of every head";
  const rows = top > 0 ? `, and for ${top} heads the four largest weights of every row exactly` : "";
  return [
    ...notes,
    `${whole} this file keeps the largest weight in each cell of a ${poolSize} × ${poolSize} grid${rows}.`,
  ];
}
