import { CheckpointError } from "../errors.ts";
import type { StoredTensor } from "../io/safetensors.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import type { GPTConfig } from "./gpt.ts";

/** GPT-2's names for activations; "gelu_new" is the tanh approximation. */
const activationNames = { geluTanh: "gelu_new", gelu: "gelu", relu: "relu", silu: "silu" } as const;

/** `config.json` as Hugging Face's GPT2Config has it. `bias` is ours: their models always have biases, ours may lack them. */
export function toGPT2Config(config: Required<Omit<GPTConfig, "seed">>): Record<string, unknown> {
  return {
    architectures: ["GPT2LMHeadModel"],
    model_type: "gpt2",
    vocab_size: config.vocabSize,
    n_positions: config.contextLength,
    n_embd: config.hiddenSize,
    n_layer: config.numLayers,
    n_head: config.numHeads,
    n_inner: config.intermediateSize,
    activation_function: activationNames[config.activation],
    layer_norm_epsilon: config.normEps,
    embd_pdrop: config.dropout,
    attn_pdrop: config.dropout,
    resid_pdrop: config.dropout,
    tie_word_embeddings: true,
    bos_token_id: null,
    eos_token_id: null,
    bias: config.bias,
  };
}

/** @throws ERR_CHECKPOINT naming the key that is missing or that this library cannot honour */
export function fromGPT2Config(json: unknown, source: string): GPTConfig {
  if (typeof json !== "object" || json === null)
    throw new CheckpointError(`${source}: must hold a JSON object`);
  const given = json as Record<string, unknown>;
  const integer = (key: string): number => {
    const value = given[key];
    if (!Number.isSafeInteger(value) || (value as number) < 1) {
      throw new CheckpointError(
        `${source}: ${key} must be an integer of at least 1; got ${JSON.stringify(value)}`,
      );
    }
    return value as number;
  };
  const number = (key: string, fallback: number): number => {
    const value = given[key] ?? fallback;
    if (typeof value !== "number" || !(value >= 0)) {
      throw new CheckpointError(
        `${source}: ${key} must be a number of at least 0; got ${JSON.stringify(value)}`,
      );
    }
    return value;
  };
  const only = (key: string, value: unknown) => {
    if (given[key] !== undefined && given[key] !== value) {
      throw new CheckpointError(
        `${source}: ${key} must be ${JSON.stringify(value)}; got ${JSON.stringify(given[key])}`,
      );
    }
  };
  only("model_type", "gpt2");
  only("tie_word_embeddings", true);
  only("scale_attn_weights", true);
  only("scale_attn_by_inverse_layer_idx", false);
  only("attn_pdrop", number("resid_pdrop", 0.1));
  only("embd_pdrop", number("resid_pdrop", 0.1));
  const name = given.activation_function ?? "gelu_new";
  const activation = Object.entries(activationNames).find(([, theirs]) => theirs === name)?.[0];
  if (activation === undefined) {
    const known = Object.values(activationNames).join(", ");
    throw new CheckpointError(
      `${source}: activation_function must be one of ${known}; got ${JSON.stringify(name)}`,
    );
  }
  const hiddenSize = integer("n_embd");
  return {
    vocabSize: integer("vocab_size"),
    contextLength: integer("n_positions"),
    numLayers: integer("n_layer"),
    numHeads: integer("n_head"),
    hiddenSize,
    intermediateSize: given.n_inner == null ? 4 * hiddenSize : integer("n_inner"),
    activation: activation as keyof typeof activationNames,
    dropout: number("resid_pdrop", 0.1),
    normEps: number("layer_norm_epsilon", 1e-5),
    bias: given.bias !== false,
  };
}

/** Our names and theirs, part by part. */
const parts: readonly (readonly [RegExp, string])[] = [
  [/^tokens\./, "transformer.wte."],
  [/^positions\.table\./, "transformer.wpe."],
  [/^norm\./, "transformer.ln_f."],
  [/^blocks\.(\d+)\.attentionNorm\./, "transformer.h.$1.ln_1."],
  [/^blocks\.(\d+)\.mlpNorm\./, "transformer.h.$1.ln_2."],
  [/^blocks\.(\d+)\.attention\.qkv\./, "transformer.h.$1.attn.c_attn."],
  [/^blocks\.(\d+)\.attention\.output\./, "transformer.h.$1.attn.c_proj."],
  [/^blocks\.(\d+)\.mlp\.up\./, "transformer.h.$1.mlp.c_fc."],
  [/^blocks\.(\d+)\.mlp\.down\./, "transformer.h.$1.mlp.c_proj."],
];

/** The name of one of our parameters in a GPT-2 file. */
export function gpt2Name(name: string): string {
  const [pattern, theirs] = parts.find(([pattern]) => pattern.test(name))!;
  return name.replace(pattern, theirs);
}

/** GPT-2 stores these four matrices as [inputs, outputs]; a Linear has [outputs, inputs]. */
export const isTransposedInGPT2 = (theirName: string): boolean =>
  /\.c_(attn|proj|fc)\.weight$/.test(theirName);

/** The parameters as GPT-2 stores them; biases that the model does not have are written as zeros. */
export async function* toGPT2Tensors(
  state: ReadonlyMap<string, Tensor>,
): AsyncGenerator<[string, StoredTensor]> {
  for (const [name, parameter] of state) {
    const theirs = gpt2Name(name);
    const t = isTransposedInGPT2(theirs) ? parameter.detach().T : parameter;
    yield [theirs, { dtype: "f32", shape: [...t.shape], data: (await t.toTypedArray()) as Float32Array }];
    const bias = name.replace(/weight$/, "bias");
    if (/^(blocks|norm)\b.*\.weight$|^norm\.weight$/.test(name) && !state.has(bias)) {
      const length = isTransposedInGPT2(theirs) ? parameter.shape[0]! : sizeOf(parameter.shape);
      yield [gpt2Name(bias), { dtype: "f32", shape: [length], data: new Float32Array(length) }];
    }
  }
}
