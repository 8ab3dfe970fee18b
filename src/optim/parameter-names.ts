import { ArgumentError } from "../errors.ts";
import type { AnyModule, Parameter } from "../nn/module.ts";

/** Whether a name matches a glob, in which `*` stands for any characters, dots included. */
export function matcher(glob: string): (name: string) => boolean {
  const literals = glob.split("*").map((text) => text.replace(/[\\^$.|?+()[\]{}]/g, "\\$&"));
  const pattern = new RegExp(`^${literals.join(".*")}$`);
  return (name) => pattern.test(name);
}

/**
 * The parameters of a model whose names match a glob, by name.
 *
 * @throws ERR_ARGUMENT for a glob that matches none
 */
export function matchingParameters(
  where: string,
  model: AnyModule,
  globs: readonly string[],
): [string, Parameter][] {
  const all = [...model.namedParameters()];
  const matchers = globs.map(matcher);
  for (const [i, matches] of matchers.entries()) {
    if (all.some(([name]) => matches(name))) continue;
    const some = all.slice(0, 3).map(([name]) => name);
    throw new ArgumentError(
      `${where}: "${globs[i]}" matches no parameter; there are ${[...some, "…"].join(", ")}`,
    );
  }
  return all.filter(([name]) => matchers.some((matches) => matches(name)));
}

/** A list of globs, from one or several. */
export const listed = (globs: string | readonly string[]): readonly string[] =>
  typeof globs === "string" ? [globs] : globs;
