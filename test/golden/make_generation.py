"""Writes generation.json: what Hugging Face's processors and search make of given scores and of a table of logits.

- `processors`: for each case the options (in camelCase), token ids, scores and the scores that all processors of these
  options, in the library's order, leave; null is -infinity.
- `generations`: whole calls of `generate` on a model whose logits are `table[previous][last] + position_bias[t]`, of the
  two last tokens of the row (0 where there is one token only) and the position of the last, plus, of the
  encoder-decoder model, `input_bias[sum(input) mod V]`. Sequences are stored without what pads them.

Run as `python test/golden/make_generation.py` with transformers 5.17 (needed here only; the tests read the file).
"""

import json
import math
import re
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders
from tokenizers.models import WordLevel
from transformers import GenerationConfig, GenerationMixin, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutput, Seq2SeqLMOutput

SEED = 20240523
V = 12
EOS, PAD, START = 1, 0, 2
PIECES = ["<pad>", "</s>", "<s>", "st", "op", "stop", "abcdef", "las", "topper", "s", "to", "pped"]

generator = torch.Generator().manual_seed(SEED)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=generator)




def camel(name: str) -> str:
    return re.sub(r"_(.)", lambda match: match[1].upper(), name)


def options_of(kwargs: dict[str, object]) -> dict[str, object]:
    return {camel(name): value for name, value in kwargs.items()}


def numbers(values: torch.Tensor, digits: int = 7) -> list[float | None]:
    return [None if x == -math.inf else float(f"{x:.{digits}g}") for x in values.flatten().tolist()]


def rounded(values: torch.Tensor) -> torch.Tensor:
    """To six digits, so that what is stored is what was computed with."""
    return torch.tensor(numbers(values, 6)).reshape(values.shape)


table = 2 * normal(V, V, V)
table[..., EOS] += 1
table = rounded(table)
input_bias = rounded(2 * normal(V, V))
position_bias = rounded(normal(64, V))  # without it two ways around a cycle of tokens would be equally likely


class TableConfig(PreTrainedConfig):
    model_type = "table"

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.vocab_size = V


class Encoder(torch.nn.Module):
    main_input_name = "input_ids"

    def forward(self, input_ids: torch.Tensor, **_: object) -> BaseModelOutput:
        return BaseModelOutput(last_hidden_state=input_bias[input_ids.sum(1) % V][:, None])


class TableModel(PreTrainedModel, GenerationMixin):
    """Logits [B, T, V] of a row are a function of its two last tokens at each position."""

    config_class = TableConfig
    main_input_name = "input_ids"

    def __init__(self, config: TableConfig) -> None:
        super().__init__(config)
        self.anchor = torch.nn.Parameter(torch.zeros(1))
        self.encoder = Encoder()

    def get_encoder(self, *_: object, **__: object) -> Encoder:
        return self.encoder

    def prepare_inputs_for_generation(self, ids: torch.Tensor, **kwargs: object) -> dict[str, object]:
        if self.config.is_encoder_decoder:
            return {"decoder_input_ids": ids, "encoder_outputs": kwargs["encoder_outputs"]}
        return {"input_ids": ids}

    def forward(self, input_ids=None, decoder_input_ids=None, encoder_outputs=None, attention_mask=None, **_: object):
        last = input_ids if decoder_input_ids is None else decoder_input_ids
        previous = torch.nn.functional.pad(last, (1, 0))[:, :-1]
        logits = table[previous, last] + position_bias[: last.shape[1]]
        if decoder_input_ids is None:
            return CausalLMOutput(logits=logits)
        return Seq2SeqLMOutput(logits=logits + encoder_outputs.last_hidden_state)


def model(is_encoder_decoder: bool) -> TableModel:
    config = TableConfig(is_encoder_decoder=is_encoder_decoder)
    made = TableModel(config).eval()
    made.generation_config = GenerationConfig(use_cache=False)
    return made


decoder_only, encoder_decoder = model(False), model(True)


# Processors


processors: list[dict[str, object]] = []


def process(ids: list[int], prompt_length: int, encoder_ids: list[int] | None = None, scale: float = 2.0, **kwargs: object) -> None:
    """One row through all processors that these options ask for."""
    config, _ = decoder_only._prepare_generation_config(None, use_cache=False, **kwargs)
    if config.max_length is None or "max_length" not in kwargs:
        config.max_length = 40
    decoder_only._prepare_special_tokens(config, device="cpu")
    inputs = torch.tensor([ids[:prompt_length] if encoder_ids is None else encoder_ids])
    chain = decoder_only._get_logits_processor(config, input_ids_seq_length=prompt_length, encoder_input_ids=inputs, device="cpu", model_kwargs={})
    scores = scale * normal(1, SIZE)
    if kwargs.get("num_beams", 1) > 1:
        scores = scores.log_softmax(-1)
    scores = rounded(scores)
    after = chain(torch.tensor([ids]), scores.clone())
    processors.append({
        "options": options_of(kwargs), "ids": ids, "promptLength": prompt_length, "maxLength": config.max_length,
        "inputIds": inputs[0].tolist(), "scores": numbers(scores), "after": numbers(after),
    })


SIZE = 24
IDS = [3, 7, 5, 9, 3, 7, 5, 11, 9, 3, 7]
for penalty in (1.3, 0.7):
    process(IDS, 4, repetition_penalty=penalty)
    process(IDS, 4, encoder_repetition_penalty=penalty, encoder_ids=[2, 2, 8, 20])
for size in (1, 2, 3, 4):
    process(IDS, 4, no_repeat_ngram_size=size)
    process(IDS, 4, encoder_no_repeat_ngram_size=size, encoder_ids=[1, 3, 7, 6, 3, 7, 2, 9, 3, 7, 8])
process(IDS, 4, bad_words_ids=[[4], [3, 7, 6], [7, 10], [9, 9], [2]], eos_token_id=2)
process(IDS, 4, sequence_bias=[[[4], 1.5], [[3, 7, 6], -2.0], [[7, 6], 0.75], [[1, 2], 9.0]])
process([3], 1, sequence_bias=[[[3, 4], 1.5], [[5], 1.0]])
process(IDS, 4, min_length=12, eos_token_id=[2, 5])
process(IDS, 4, min_length=11, eos_token_id=[2, 5])
process(IDS, 4, min_new_tokens=8, eos_token_id=2)
process(IDS, 4, min_new_tokens=7, eos_token_id=2)
process([3], 1, forced_bos_token_id=6)
process([3, 6], 1, forced_bos_token_id=6)
process(IDS, 4, max_length=12, forced_eos_token_id=[2, 3])
process(IDS, 4, max_length=13, forced_eos_token_id=[2, 3])
process(IDS, 4, exponential_decay_length_penalty=(5, 1.2), eos_token_id=[2, 3])
process(IDS, 4, exponential_decay_length_penalty=(7, 1.2), eos_token_id=[2, 3])
process(IDS, 4, suppress_tokens=[0, 9])
process(IDS, 11, begin_suppress_tokens=[0, 9])
process(IDS, 10, begin_suppress_tokens=[0, 9])
process([3], 1, begin_suppress_tokens=[0, 9], forced_bos_token_id=9)
process([3, 9], 1, begin_suppress_tokens=[0, 9], forced_bos_token_id=9)
process(IDS, 4, renormalize_logits=True, suppress_tokens=[1])
process(IDS, 4, do_sample=True, temperature=0.7, top_k=0)
process(IDS, 4, do_sample=True, top_k=5)
for scale in (0.5, 2.0, 6.0):
    for name, values in {
        "top_h": (0.2, 0.4, 0.9), "top_p": (0.0, 0.01, 0.3, 0.8, 0.95), "min_p": (0.02, 0.1, 0.6),
        "typical_p": (0.05, 0.3, 0.8, 0.95), "epsilon_cutoff": (0.02, 0.05, 0.3), "eta_cutoff": (0.02, 0.2, 0.9),
    }.items():
        for value in values:
            process(IDS, 4, scale=scale, do_sample=True, top_k=0, **{name: value})
            if name != "top_h":
                process(IDS, 4, scale=scale, do_sample=True, top_k=0, num_beams=3, eos_token_id=[1, 2], **{name: value})
process(IDS, 4, do_sample=True, temperature=1.3, top_k=8, top_p=0.9, min_p=0.05, typical_p=0.9, epsilon_cutoff=0.01, eta_cutoff=0.01, renormalize_logits=True)
process(IDS, 4, do_sample=True, temperature=0.8, top_k=9, top_p=0.7, repetition_penalty=1.4, no_repeat_ngram_size=2, suppress_tokens=[13, 14], bad_words_ids=[[20]], min_length=20, eos_token_id=8)
process(IDS, 4, num_beams=3, do_sample=True, top_k=2, eos_token_id=[2, 3, 4])

# Generations

vocabulary = {piece: id for id, piece in enumerate(PIECES)}
backend = Tokenizer(WordLevel(vocabulary, unk_token="<pad>"))
backend.decoder = decoders.Fuse()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)

generations: list[dict[str, object]] = []
PROMPTS = [[3, 4], [5, 2, 7, 6, 2], [9], [10, 11, 8, 4, 4, 4, 3], [6, 5, 6, 5, 6, 5]]


def run(name: str, source: TableModel, prompts: list[list[int]] = PROMPTS, **kwargs: object) -> None:
    """Each prompt alone; what pads the shorter ones of several returned sequences is cut off."""
    sequences, scores = [], []
    for ids in prompts:
        extra = {"tokenizer": tokenizer} if "stop_strings" in kwargs else {}
        made = source.generate(
            torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), return_dict_in_generate=True,
            output_scores=True, pad_token_id=99, **kwargs, **extra,
        )
        sequences += [[id for id in row if id != 99] for row in made.sequences.tolist()]
        if "num_beams" in kwargs:
            scores += numbers(made.sequences_scores)
    generations.append({
        "name": name, "isEncoderDecoder": source is encoder_decoder, "prompts": prompts,
        "options": options_of(kwargs), "sequences": sequences, **({"scores": scores} if scores else {}),
    })


for source in (decoder_only, encoder_decoder):
    kind = {"decoder_start_token_id": START} if source is encoder_decoder else {}
    run("greedy, default length", source, **kind)
    run("greedy to an end", source, eos_token_id=EOS, max_new_tokens=30, **kind)
    run("greedy, several ends", source, eos_token_id=[EOS, 7], max_length=12, **kind)
    run("greedy, processors", source, eos_token_id=EOS, max_new_tokens=16, min_new_tokens=6, no_repeat_ngram_size=2,
        repetition_penalty=1.2, bad_words_ids=[[4], [6, 7]], suppress_tokens=[9], **kind)
    run("greedy, forced", source, eos_token_id=EOS, max_new_tokens=8, forced_eos_token_id=5, begin_suppress_tokens=[3, 8], **kind)
    run("greedy, stop strings", source, stop_strings=["stop", "oppe"], max_new_tokens=24, **kind)
    for beams in (2, 3, 5):
        for early in (False, True, "never"):
            for penalty in (1.0, 0.0, 2.5, -1.0):
                run(f"beams {beams} {early} {penalty}", source, num_beams=beams, num_return_sequences=beams, early_stopping=early,
                    length_penalty=penalty, eos_token_id=EOS, max_new_tokens=10, **kind)
    run("beams, one of them", source, num_beams=4, eos_token_id=EOS, max_new_tokens=12, **kind)
    run("beams without an end", source, num_beams=3, num_return_sequences=2, max_new_tokens=7, **kind)
    run("beams, several ends", source, num_beams=3, num_return_sequences=3, eos_token_id=[EOS, 7, 3], max_new_tokens=9, **kind)
    run("beams, ends everywhere", source, num_beams=3, num_return_sequences=3, eos_token_id=[0, 1, 3, 4, 5, 6, 7, 9, 10], max_new_tokens=6,
        min_new_tokens=2, length_penalty=3.0, **kind)
    run("beams, total length", source, num_beams=3, num_return_sequences=2, eos_token_id=EOS, max_length=11, **kind)
    run("beams, processors", source, num_beams=4, num_return_sequences=3, eos_token_id=EOS, max_new_tokens=12, min_length=9,
        no_repeat_ngram_size=3, repetition_penalty=1.3, bad_words_ids=[[4, 4], [6]], sequence_bias=[[[8], 1.0]], **kind)
    run("beams, renormalized", source, num_beams=3, num_return_sequences=3, eos_token_id=EOS, max_new_tokens=9,
        suppress_tokens=[3, 5], renormalize_logits=True, **kind)
    run("beams, forced end", source, num_beams=3, num_return_sequences=3, eos_token_id=EOS, max_new_tokens=6, forced_eos_token_id=EOS, **kind)
    run("beams, decay", source, num_beams=3, num_return_sequences=2, eos_token_id=EOS, max_new_tokens=14,
        exponential_decay_length_penalty=(2, 1.5), **kind)
    run("beams, stop strings", source, num_beams=3, num_return_sequences=3, eos_token_id=EOS, stop_strings=["stop", "oppe"], max_new_tokens=16, **kind)
run("greedy, forced language", encoder_decoder, decoder_start_token_id=START, forced_bos_token_id=8, eos_token_id=EOS, max_new_tokens=9)
run("beams, forced language", encoder_decoder, decoder_start_token_id=START, forced_bos_token_id=8, eos_token_id=EOS,
    num_beams=3, num_return_sequences=2, max_new_tokens=9, encoder_no_repeat_ngram_size=2)
# Of several beams the library changes the first one only by encoder_repetition_penalty.
run("greedy, as the input", encoder_decoder, decoder_start_token_id=START, eos_token_id=EOS, max_new_tokens=9, encoder_repetition_penalty=1.7)
run("greedy, begins with bos", encoder_decoder, bos_token_id=START, eos_token_id=EOS, max_new_tokens=9)

result = {
    "table": numbers(table), "inputBias": numbers(input_bias), "positionBias": numbers(position_bias), "pieces": PIECES,
    "processors": processors, "generations": generations,
}
Path(__file__).with_name("generation.json").write_text(json.dumps(result, separators=(",", ":")) + "\n")
