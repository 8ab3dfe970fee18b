import type { Settings } from "../io/json.ts";
import type { Activation } from "../ops/products.ts";

/** What Hugging Face calls our activations. */
export const activationNames: Readonly<Record<Activation, string>> = {
  gelu: "gelu",
  geluTanh: "gelu_new",
  relu: "relu",
  silu: "silu",
};

const byName: Readonly<Record<string, Activation>> = {
  gelu: "gelu",
  gelu_new: "geluTanh",
  gelu_pytorch_tanh: "geluTanh",
  gelu_accurate: "geluTanh",
  gelu_fast: "geluTanh",
  relu: "relu",
  silu: "silu",
  swish: "silu",
};

/** The activation that a configuration names. */
export const activationOf = (settings: Settings, key: string, fallback?: string): Activation =>
  settings.oneOf(key, byName, fallback);
