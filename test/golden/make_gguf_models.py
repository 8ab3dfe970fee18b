"""Tiny models of random weights as Hugging Face stores them and as GGUF files.

    python test/golden/make_gguf_models.py
        writes gguf-{llama,qwen2,qwen3,gpt2}.gguf, as llama.cpp's convert_hf_to_gguf lays them out, and for each a file
        .safetensors with the tensors of transformers; its metadata has `config` and `tokenizer` as JSON.
    python test/golden/make_gguf_models.py check FILE EXPECTED.safetensors
        reads a GGUF file that trainformer has written with transformers' own reader of GGUF, and compares its logits with
        those of the model in EXPECTED, and its tokens with those of the tokenizer there.

Weights are numbers of half precision, so that F16 loses nothing.
"""

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

here = Path(__file__).parent
llama_parts = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "blk.{i}.attn_norm": "model.layers.{i}.input_layernorm",
    "blk.{i}.attn_q": "model.layers.{i}.self_attn.q_proj",
    "blk.{i}.attn_k": "model.layers.{i}.self_attn.k_proj",
    "blk.{i}.attn_v": "model.layers.{i}.self_attn.v_proj",
    "blk.{i}.attn_output": "model.layers.{i}.self_attn.o_proj",
    "blk.{i}.attn_q_norm": "model.layers.{i}.self_attn.q_norm",
    "blk.{i}.attn_k_norm": "model.layers.{i}.self_attn.k_norm",
    "blk.{i}.ffn_norm": "model.layers.{i}.post_attention_layernorm",
    "blk.{i}.ffn_gate": "model.layers.{i}.mlp.gate_proj",
    "blk.{i}.ffn_up": "model.layers.{i}.mlp.up_proj",
    "blk.{i}.ffn_down": "model.layers.{i}.mlp.down_proj",
}
gpt2_parts = {
    "token_embd": "transformer.wte",
    "position_embd": "transformer.wpe",
    "output_norm": "transformer.ln_f",
    "blk.{i}.attn_norm": "transformer.h.{i}.ln_1",
    "blk.{i}.attn_qkv": "transformer.h.{i}.attn.c_attn",
    "blk.{i}.attn_output": "transformer.h.{i}.attn.c_proj",
    "blk.{i}.ffn_norm": "transformer.h.{i}.ln_2",
    "blk.{i}.ffn_up": "transformer.h.{i}.mlp.c_fc",
    "blk.{i}.ffn_down": "transformer.h.{i}.mlp.c_proj",
}
VOCAB, LAYERS = 320, 2
shared = dict(
    vocab_size=VOCAB, hidden_size=32, intermediate_size=64, num_hidden_layers=LAYERS, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2,
)
llama3 = dict(
    rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
    original_max_position_embeddings=32,
)
configs = {
    "llama": transformers.LlamaConfig(
        **shared, head_dim=16, rms_norm_eps=1e-5, rope_parameters=llama3, tie_word_embeddings=False
    ),
    "qwen2": transformers.Qwen2Config(
        **shared, rms_norm_eps=1e-6, rope_parameters=dict(rope_type="default", rope_theta=1e6), tie_word_embeddings=True
    ),
    "qwen3": transformers.Qwen3Config(
        **shared, head_dim=16, rms_norm_eps=1e-6, rope_parameters=dict(rope_type="default", rope_theta=1e6),
        tie_word_embeddings=True,
    ),
    "gpt2": transformers.GPT2Config(
        vocab_size=VOCAB, n_embd=32, n_layer=LAYERS, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2
    ),
}
classes = {
    "llama": transformers.LlamaForCausalLM,
    "qwen2": transformers.Qwen2ForCausalLM,
    "qwen3": transformers.Qwen3ForCausalLM,
    "gpt2": transformers.GPT2LMHeadModel,
}
corpus = [
    "the quick brown fox jumps over the lazy dog", "a lazy dog sleeps; a quick fox does not: 1234 times",
    "Über den Wolken, naïve café \U0001f600", "the fox's den isn't the dog's",
] * 5
specials = ["<unk>", "<s>", "</s>"]


def tokenizer_of(arch: str) -> Tokenizer:
    if arch == "llama":
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        bytes_ = [f"<0x{n:02X}>" for n in range(256)]
        trainer = trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=specials + bytes_, show_progress=False)
    else:
        tokenizer = Tokenizer(models.BPE())
        split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=arch == "gpt2")
        if arch != "gpt2":
            qwen = (
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
                r"|\s+(?!\S)|\s+"
            )
            tokenizer.normalizer = normalizers.NFC()
            words = pre_tokenizers.Split(__import__("tokenizers").Regex(qwen), "isolated")
            split = pre_tokenizers.Sequence([words, split])
        tokenizer.pre_tokenizer = split
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=VOCAB, special_tokens=specials, show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )
    tokenizer.train_from_iterator(corpus, trainer)
    if arch == "llama":
        state = json.loads(tokenizer.to_str())
        state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] in specials]
        tokenizer = Tokenizer.from_str(json.dumps(state))
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
        )
    return tokenizer


def permuted(w: np.ndarray, heads: int) -> np.ndarray:
    """Rotary pairs (i, i + D/2) of each head become (2i, 2i + 1)."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def write_tokenizer(writer: gguf.GGUFWriter, arch: str, tokenizer: Tokenizer) -> None:
    model = json.loads(tokenizer.to_str())["model"]
    tokens = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    kinds = [3 if t in specials else 6 if arch == "llama" and t.startswith("<0x") else 1 for t in tokens]
    if arch == "llama":
        kinds[0] = 2
        rank: dict[str, int] = {}
        for i, (left, right) in enumerate(model["merges"]):
            rank.setdefault(left + right, i)
        writer.add_tokenizer_model("llama")
        writer.add_token_scores([-1.0 - rank[t] if t in rank else 0.0 for t in tokens])
        writer.add_unk_token_id(0)
        writer.add_add_bos_token(True)
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2" if arch == "gpt2" else "qwen2")
        writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)


def write_model(arch: str) -> None:
    torch.manual_seed(7)
    config = configs[arch]
    model = classes[arch](config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_((p + 0.02 * torch.randn_like(p)).half().float())
    state = {name: t.detach().clone() for name, t in model.state_dict().items()}
    if config.tie_word_embeddings:
        del state["lm_head.weight"]
    tokenizer = tokenizer_of(arch)
    assert tokenizer.get_vocab_size() <= VOCAB, tokenizer.get_vocab_size()
    texts = ["the quick dog's 12 foxes", "naïve Ü \U0001f600", " two  spaces\n"]
    metadata = {
        "format": "pt", "config": json.dumps({**config.to_dict(), "architectures": [classes[arch].__name__]}),
        "tokenizer": tokenizer.to_str(),
        "encodings": json.dumps([[text, tokenizer.encode(text).ids] for text in texts]),
    }
    save_file({name: t.half().contiguous() for name, t in state.items()}, here / f"gguf-{arch}.safetensors", metadata)

    writer = gguf.GGUFWriter(here / f"gguf-{arch}.gguf", arch)
    writer.add_name("tiny")
    writer.add_file_type(1)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_block_count(LAYERS)
    writer.add_head_count(4)
    writer.add_vocab_size(VOCAB)
    if arch == "gpt2":
        writer.add_feed_forward_length(128)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        writer.add_feed_forward_length(64)
        writer.add_head_count_kv(2)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        head = getattr(config, "head_dim", None) or 8
        writer.add_key_length(head)
        writer.add_value_length(head)
        writer.add_rope_dimension_count(head)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    write_tokenizer(writer, arch, tokenizer)
    if arch == "llama":
        plain = 10000.0 ** (-np.arange(0, 16, 2) / 16)
        ours = model.model.rotary_emb.inv_freq.numpy()
        writer.add_tensor("rope_freqs.weight", (plain / ours).astype(np.float32))
    parts = gpt2_parts if arch == "gpt2" else llama_parts
    names = {
        theirs.format(i=i) + suffix: ours.format(i=i) + suffix
        for i in range(LAYERS) for ours, theirs in parts.items() for suffix in (".weight", ".bias")
    }
    for theirs, tensor in state.items():
        ours, w = names[theirs], tensor.numpy()
        if arch == "gpt2" and w.ndim == 2 and "c_" in theirs:
            w = w.T
        if arch == "llama" and ("q_proj" in theirs or "k_proj" in theirs):
            w = permuted(w, 4 if "q_proj" in theirs else 2)
        half = w.ndim == 2 and ours != "position_embd.weight"
        writer.add_tensor(ours, np.ascontiguousarray(w).astype(np.float16 if half else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def check(file: str, expected: str) -> None:
    with safe_open(expected, "pt") as stored:
        metadata = stored.metadata()
        state = {name: stored.get_tensor(name).float() for name in stored.keys()}
    config = json.loads(metadata["config"])
    arch = config["model_type"]
    model = classes[arch](configs[arch]).eval()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    model.tie_weights()
    given = {"config": configs[arch]} if arch == "qwen3" else {}  # transformers does not read its head size
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        Path(file).parent, gguf_file=Path(file).name, dtype=torch.float32, **given
    ).eval()
    if arch == "llama":  # transformers does not read rope_freqs.weight
        theirs.model.rotary_emb = model.model.rotary_emb
    ids = torch.arange(3, 43).reshape(2, 20)
    with torch.no_grad():
        a, b = model(ids).logits, theirs(ids).logits
    print(arch, "logits differ by at most", float((a - b).abs().max()), "of", float(a.abs().max()))
    tokenizer = transformers.AutoTokenizer.from_pretrained(Path(file).parent, gguf_file=Path(file).name)
    for text, ids in json.loads(metadata["encodings"]):
        print(repr(text), ids, tokenizer(text, add_special_tokens=False).input_ids)


if __name__ == "__main__":
    if sys.argv[1:2] == ["check"]:
        check(*sys.argv[2:])
    else:
        for arch in configs:
            write_model(arch)
