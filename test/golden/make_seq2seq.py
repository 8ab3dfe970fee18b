"""Writes seq2seq/<model>/: toy encoder-decoder models of Hugging Face, as save_pretrained writes them.

expected.safetensors holds what they compute: of a batch of rows of unequal lengths the logits, hidden states, weights
of attention, loss and gradients, and what generate() makes of each row, greedily and with four beams. The weights are
rounded to float32 and everything else is computed in float64.

Run as `python test/golden/make_seq2seq.py`. With `--check MODEL FOLDER` it loads a folder that this library has written
of MODEL with Hugging Face and compares logits and loss with those expected. (torch, transformers and safetensors are
needed here only; the tests read the files.)
"""

import json
import logging
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers.models.bart.modeling_bart import BartAttention
from transformers.models.marian.modeling_marian import MarianAttention
from transformers.models.t5.modeling_t5 import T5Attention

HERE = Path(__file__).parent / "seq2seq"
SEED = 20240522
ATTENTIONS = (BartAttention, MarianAttention, T5Attention)
LENGTHS = (6, 4)
INPUTS = torch.tensor([[5, 9, 3, 17, 2, 11], [7, 12, 4, 2, 1, 1]])
LABELS = torch.tensor([[6, 15, -100, 8, 2], [10, 3, 2, -100, -100]])

SHARED = dict(
    d_model=16, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=24, decoder_ffn_dim=24,
    encoder_attention_heads=4, decoder_attention_heads=4, max_position_embeddings=32,
    pad_token_id=1, eos_token_id=2, decoder_start_token_id=0, bos_token_id=None, forced_eos_token_id=None,
    attn_implementation="eager",
)  # fmt: skip
T5 = dict(
    vocab_size=20, d_model=16, d_kv=6, d_ff=24, num_layers=2, num_heads=4, eos_token_id=2,
    relative_attention_num_buckets=8, relative_attention_max_distance=16, attn_implementation="eager",
)  # fmt: skip

MODELS = {
    # The Transformer of 2017: ReLU, embeddings times the root of the width, two tables of embeddings.
    "transformer": lambda: transformers.MarianMTModel(transformers.MarianConfig(
        **SHARED, vocab_size=20, share_encoder_decoder_embeddings=False,
        activation_function="relu", scale_embedding=True)),
    "marian": lambda: transformers.MarianMTModel(transformers.MarianConfig(
        **{**SHARED, "decoder_layers": 1, "decoder_ffn_dim": 20}, vocab_size=20, activation_function="swish",
        scale_embedding=True)),
    "bart": lambda: transformers.BartForConditionalGeneration(transformers.BartConfig(
        **{**SHARED, "encoder_layers": 1, "decoder_attention_heads": 2, "forced_eos_token_id": 2}, vocab_size=20,
        forced_bos_token_id=4)),
    "t5": lambda: transformers.T5ForConditionalGeneration(transformers.T5Config(**T5, decoder_start_token_id=0)),
    "t5-v1.1": lambda: untied(transformers.T5ForConditionalGeneration(transformers.T5Config(
        **T5, num_decoder_layers=1, feed_forward_proj="gated-gelu", tie_word_embeddings=False,
        decoder_start_token_id=0))),
}  # fmt: skip


def untied(model: nn.Module) -> nn.Module:
    """With an output matrix of its own, as the released models of version 1.1 have."""
    model.config.tie_word_embeddings = False
    model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
    return model


def initialise(model: nn.Module, generator: torch.Generator) -> None:
    """Matrices N(0, 0.4), embeddings N(0, 0.2), biases N(0, 0.2), norm weights N(1, 0.2): nothing is near a default."""
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if not parameter.requires_grad:
                continue  # sinusoids
            normal = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            is_norm = "norm" in name and name.endswith("weight")
            is_matrix = parameter.dim() > 1 and "embed" not in name and "shared" not in name
            value = 1 + 0.2 * normal if is_norm else (0.4 if is_matrix else 0.2) * normal
            parameter.copy_(value.float())
        if hasattr(model, "final_logits_bias"):
            bias = torch.randn(model.final_logits_bias.shape, generator=generator, dtype=torch.float64)
            model.final_logits_bias.copy_((0.5 * bias).float())


def forward(model: nn.Module) -> dict[str, Tensor]:
    weights = {"encoder": [], "decoder": [], "cross": []}
    for path, module in model.named_modules():
        if isinstance(module, ATTENTIONS):
            kind = "cross" if "encoder_attn" in path or "EncDecAttention" in path else path.removeprefix("model.")[:7]
            module.register_forward_hook(lambda _, __, out, kind=kind: weights[kind].append(out[-1]))
        if isinstance(module, nn.Embedding):
            module.padding_idx = None  # or the row of the padding token would get no gradient
    mask = (torch.arange(INPUTS.shape[1]) < torch.tensor(LENGTHS)[:, None]).long()
    output = model(input_ids=INPUTS, attention_mask=mask, labels=LABELS, output_hidden_states=True)
    output.loss.backward()
    tensors = {"logits": output.logits, "loss": output.loss.reshape(1)}
    for ours, theirs in {
        "encoderHiddenStates": output.encoder_hidden_states,
        "decoderHiddenStates": output.decoder_hidden_states,
        "encoderAttentions": weights["encoder"],
        "decoderAttentions": weights["decoder"],
        "crossAttentions": weights["cross"],
    }.items():
        tensors |= {f"{ours}.{i}": t for i, t in enumerate(theirs)}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            tensors[f"gradient.{name}"] = parameter.grad
    return tensors


def generations(model: nn.Module) -> dict[str, Tensor]:
    """For each row its tokens, filled up with -1, and the scores of beam search. No two tokens in a row come twice."""
    tensors = {}
    for name, options in {"greedy": {}, "beams": {"num_beams": 4, "length_penalty": 1.5}}.items():
        rows, scores = [], []
        for ids, length in zip(INPUTS, LENGTHS, strict=True):
            result = model.generate(
                ids[None, :length], attention_mask=torch.ones(1, length, dtype=torch.long), do_sample=False,
                min_new_tokens=6, max_new_tokens=12, no_repeat_ngram_size=2, return_dict_in_generate=True,
                output_scores=True, **options,
            )  # fmt: skip
            rows.append(result.sequences[0])
            if options:
                scores.append(result.sequences_scores[0])
        print("  ", name, [row.tolist() for row in rows], [round(s.item(), 4) for s in scores])
        tensors[name] = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)
        if scores:
            tensors[f"{name}Scores"] = torch.stack(scores)
    return tensors


def make(name: str, seed: int) -> None:
    torch.manual_seed(SEED)
    model = MODELS[name]().eval()
    initialise(model, torch.Generator().manual_seed(seed))
    folder = HERE / name
    model.save_pretrained(folder)
    print(name, sorted(p.name for p in folder.iterdir()), json.loads((folder / "config.json").read_text()))
    model = model.double()
    inputs = {"inputIds": INPUTS, "lengths": torch.tensor(LENGTHS), "labels": LABELS}
    tensors = inputs | generations(model) | forward(model)
    as_stored = lambda t: t.detach().to(torch.float32 if t.is_floating_point() else torch.int32).clone().contiguous()
    save_file({key: as_stored(t) for key, t in tensors.items()}, folder / "expected.safetensors")


def check(name: str, folder: str) -> None:
    expected = load_file(HERE / name / "expected.safetensors")
    model, info = transformers.AutoModelForSeq2SeqLM.from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager", dtype=torch.float64
    )
    tensors = forward(model.eval())
    worst = {key: (tensors[key] - expected[key]).abs().max().item() for key in ("logits", "loss")}
    problems = {key: sorted(value) for key, value in info.items() if value}
    print(f"{name}: {type(model).__name__} {worst} {problems or 'nothing missing or unexpected'}")


def buckets() -> None:
    """Relative position buckets of the distances from -300 to 300."""
    tensors = {}
    for bidirectional in (True, False):
        for count, distance in ((32, 128), (8, 16), (20, 100)):
            relative = torch.arange(-300, 301)
            values = T5Attention._relative_position_bucket(relative, bidirectional, count, distance)
            tensors[f"{'both' if bidirectional else 'past'}.{count}.{distance}"] = values.int()
    save_file(tensors, HERE / "buckets.safetensors")


def main() -> None:
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    match sys.argv[1:]:
        case ["--check", name, folder]:
            check(name, folder)
        case []:
            buckets()
            for i, name in enumerate(MODELS):
                make(name, SEED + i)


if __name__ == "__main__":
    main()
