"""Toy decoder-only models of Hugging Face transformers, as their own classes save them, and what they compute.

    python test/golden/make_decoders.py                 writes test/golden/decoders/<name>/
    python test/golden/make_decoders.py --check FOLDER  loads FOLDER/<name>/, written by this library (see
                                                        test/golden-decoders.test.ts), and compares the logits

Made with torch 2.13 and transformers 5.17.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

HERE = Path(__file__).parent / "decoders"
COMMON = dict(
    vocab_size=40,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=32,
    attention_dropout=0.0,
    initializer_range=0.3,
    bos_token_id=1,
    eos_token_id=2,
)


def rope(kind, **rest):
    return dict(rope_type=kind, rope_theta=10000.0, **rest)


MODELS = {
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(
            vocab_size=40,
            n_positions=32,
            n_embd=16,
            n_layer=2,
            n_head=4,
            initializer_range=0.3,
            bos_token_id=1,
            eos_token_id=2,
        )
    ),
    "llama": lambda: LlamaForCausalLM(
        LlamaConfig(
            **COMMON,
            attention_bias=True,
            mlp_bias=True,
            rope_parameters=rope(
                "llama3",
                factor=8.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=8,
            ),
        )
    ),
    "smollm": lambda: LlamaForCausalLM(LlamaConfig(**COMMON, tie_word_embeddings=True, rms_norm_eps=1e-5)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**COMMON, sliding_window=3)),
    "qwen2": lambda: Qwen2ForCausalLM(
        Qwen2Config(
            **COMMON,
            use_sliding_window=True,
            sliding_window=4,
            layer_types=["full_attention", "sliding_attention"],
            rope_parameters=rope("linear", factor=2.0),
        )
    ),
    "qwen3": lambda: Qwen3ForCausalLM(
        Qwen3Config(
            **COMMON,
            head_dim=8,
            rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=8),
        )
    ),
    "dynamic": lambda: LlamaForCausalLM(
        LlamaConfig(**{**COMMON, "max_position_embeddings": 6}, rope_parameters=rope("dynamic", factor=2.0))
    ),
    "longrope": lambda: LlamaForCausalLM(
        LlamaConfig(
            **COMMON,
            rope_parameters=rope(
                "longrope",
                factor=4.0,
                original_max_position_embeddings=8,
                short_factor=[1.0, 1.5],
                long_factor=[1.0, 6.0],
            ),
        )
    ),
}


def inputs():
    torch.manual_seed(0)
    ids = torch.randint(3, 40, (2, 10))
    labels = torch.randint(3, 40, (2, 10))
    labels[0, 4] = -100
    return ids, labels


def make(name, build):
    torch.manual_seed(1)
    model = build()
    model.config._attn_implementation = "eager"
    with torch.no_grad():  # norms and biases start as ones and zeros, which would hide mistakes
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    model.eval()
    ids, labels = inputs()
    out = model(input_ids=ids, output_hidden_states=True, output_attentions=True)
    loss = torch.nn.functional.cross_entropy(out.logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
    loss.backward()
    expected = {"ids": ids.int(), "targets": labels.int(), "logits": out.logits, "loss": loss[None]}
    expected |= {f"hidden.{i}": h for i, h in enumerate(out.hidden_states)}
    expected |= {f"attention.{i}": a for i, a in enumerate(out.attentions)}
    expected |= {f"gradient.{n}": p.grad for n, p in model.named_parameters() if p.grad is not None}
    kwargs = dict(max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=0)
    kwargs["attention_mask"] = torch.ones(1, 4, dtype=torch.long)
    for beams in (1, 4):
        tokens = [model.generate(row[None, :4], num_beams=beams, **kwargs)[0] for row in ids]
        expected[f"beams.{beams}"] = torch.stack(tokens).int()
    folder = HERE / name
    model.save_pretrained(folder)
    save_file({k: v.detach().contiguous() for k, v in expected.items()}, folder / "expected.safetensors")
    print(name, sum(f.stat().st_size for f in folder.iterdir()), "bytes")


def check(folder):
    for name in MODELS:
        model = AutoModelForCausalLM.from_pretrained(folder / name, attn_implementation="eager").eval()
        expected = load_file(HERE / name / "expected.safetensors")
        with torch.no_grad():
            logits = model(input_ids=expected["ids"].long()).logits
        print(name, "largest difference of logits", (logits - expected["logits"]).abs().max().item())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        check(Path(sys.argv[2]))
    else:
        for name, build in MODELS.items():
            make(name, build)
