import type { Tensor } from "./tensor.ts";

/** Hears what modules send, and may put something else in its place. */
export interface Listener {
  /** Whether anybody asks for this message: some cost extra to send. */
  wants(name: string): boolean;
  /** Gives what is sent on. */
  hear(name: string, value: Tensor): Tensor;
  /** Runs a part of the model, `layer.2.` say. */
  around<T>(path: string, body: () => T): T;
}

let listener: Listener | undefined;
let path = "";

/** Sends a message and gives it back, or what a listener puts in its place. Costs a test where nobody listens. */
export function send(name: string, value: Tensor): Tensor {
  return listener === undefined ? value : listener.hear(path + name, value);
}

/** Whether somebody asks for a message that the fastest way does not make. */
export function isWanted(name: string): boolean {
  return listener?.wants(path + name) ?? false;
}

/** Runs a part of a model: the names of the messages that it sends begin with `part` and a dot. */
export function within<T>(part: string, body: () => T): T {
  if (listener === undefined) return body();
  const outer = path;
  path = `${outer}${part}.`;
  try {
    return listener.around(path, body);
  } finally {
    path = outer;
  }
}

/** Runs `body`, which must not be asynchronous, with a listener in place of whoever listens outside. */
export function listening<T>(to: Listener, body: () => T): T {
  const outer = [listener, path] as const;
  [listener, path] = [to, ""];
  try {
    return body();
  } finally {
    [listener, path] = outer;
  }
}
