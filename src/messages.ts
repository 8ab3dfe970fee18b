import type { Tensor } from "./tensor.ts";

/** Hears what modules send, and may put something else in its place. @internal */
export interface Listener {
  /** Whether anybody asks for this message: some cost extra to send. */
  wants(name: string): boolean;
  hear(name: string, value: Tensor): Tensor;
}
