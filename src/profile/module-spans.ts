import type { AnyModule } from "../nn/module.ts";

/** A call of a module's `forward`, in milliseconds since the profile began. Spans lie within each other, or apart. */
export interface Span {
  /** Path of the module in the model; the name of its class for the model itself. */
  readonly name: string;
  readonly start: number;
  end: number;
}

function* namedModules(module: AnyModule, path = ""): Generator<[string, AnyModule]> {
  yield [path || module.constructor.name, module];
  for (const [name, child] of module.children())
    yield* namedModules(child, path === "" ? name : `${path}.${name}`);
}

/**
 * Notes when the modules of a model run, from now until `end`. Each gets a `forward` of its own meanwhile, so that modules
 * which nobody watches cost nothing.
 */
export function watchModules(model: AnyModule, now: () => number): { spans: Span[]; end: () => void } {
  const spans: Span[] = [];
  const watched = new Map<AnyModule, PropertyDescriptor | undefined>();
  for (const [name, module] of namedModules(model)) {
    if (watched.has(module)) continue;
    watched.set(module, Object.getOwnPropertyDescriptor(module, "forward"));
    const { forward } = module;
    const value = (...inputs: unknown[]) => {
      const span = { name, start: now(), end: Number.NaN };
      spans.push(span);
      try {
        return forward.apply(module, inputs as never);
      } finally {
        span.end = now();
      }
    };
    Object.defineProperty(module, "forward", { value, configurable: true });
  }
  const end = () => {
    for (const [module, own] of watched) {
      Reflect.deleteProperty(module, "forward");
      if (own) Object.defineProperty(module, "forward", own);
    }
  };
  return { spans, end };
}
