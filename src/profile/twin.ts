import { type AnyModule, Module, parameter } from "../nn/module.ts";
import { Tensor } from "../tensor.ts";

/**
 * A model of the same structure on "meta": its parameters and tables have shapes, but no values. What is neither module,
 * tensor, array, map nor plain object is shared with the original.
 */
export function twinOf<M extends AnyModule>(model: M): M {
  const parameters = new Set(model.parameters());
  const copies = new Map<unknown, unknown>();
  const tensorLike = (t: Tensor): Tensor => {
    if (!parameters.has(t)) return Tensor.empty(t.shape, t.dtype, "meta");
    const copy = parameter(() => Tensor.empty(t.shape, t.dtype, "meta"));
    copy.requiresGrad = t.requiresGrad;
    return copy;
  };
  const moduleLike = (original: AnyModule): AnyModule => {
    const copy = ((...inputs: unknown[]) => copy.forward(...inputs)) as AnyModule;
    copies.set(original, copy);
    Object.setPrototypeOf(copy, Object.getPrototypeOf(original));
    Object.defineProperty(copy, "training", { value: original.training, writable: true });
    for (const [name, value] of Object.entries(original)) {
      const field = { value: copyOf(value), enumerable: true, writable: true, configurable: true };
      Object.defineProperty(copy, name, field);
    }
    return copy;
  };
  const copyOf = (value: unknown): unknown => {
    if (typeof value === "object" ? value === null : !(value instanceof Module)) return value;
    const known = copies.get(value);
    if (known !== undefined) return known;
    if (value instanceof Module) return moduleLike(value as AnyModule);
    const made = likeObject(value as object);
    copies.set(value, made);
    return made;
  };
  const likeObject = (value: object): unknown => {
    if (value instanceof Tensor) return tensorLike(value);
    if (Array.isArray(value)) return value.map(copyOf);
    if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, copyOf(item)]));
    if (Object.getPrototypeOf(value) !== Object.prototype) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, copyOf(item)]));
  };
  return copyOf(model) as M;
}
