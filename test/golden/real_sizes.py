"""Models of real sizes with random weights, in Hugging Face transformers and in this library, side by side.

    npm run build && python test/golden/real_sizes.py [name ...]

For each: Hugging Face makes the model and saves it into a temporary folder, this library reads it there
(test/programs/real-size.mjs), and both compute the logits of the same tokens and 20 greedy tokens. Prints the largest
difference of the logits, relative to the largest logit, and whether the tokens are the same. Takes some minutes and
2 GB of disk. Made for torch 2.13 and transformers 5.17.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import transformers as hf

HERE = Path(__file__).parent
SIZES = {
    "gpt2": (hf.GPT2LMHeadModel, hf.GPT2Config()),
    "bert-base": (hf.BertForMaskedLM, hf.BertConfig()),
    "t5-small": (hf.T5ForConditionalGeneration, hf.T5Config(decoder_start_token_id=0)),
    "minilm-l6": (
        hf.BertModel,
        hf.BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536),
    ),
    "smollm2-135m": (
        hf.LlamaForCausalLM,
        hf.LlamaConfig(
            vocab_size=49152,
            hidden_size=576,
            intermediate_size=1536,
            num_hidden_layers=30,
            num_attention_heads=9,
            num_key_value_heads=3,
            max_position_embeddings=8192,
            rms_norm_eps=1e-5,
            rope_parameters=dict(rope_type="default", rope_theta=100000.0),
            tie_word_embeddings=True,
        ),
    ),
}
LENGTH = 48


@torch.no_grad()
def theirs(model, ids):
    given = dict(input_ids=ids, attention_mask=torch.ones_like(ids))
    if model.config.is_encoder_decoder:
        start = torch.full((ids.shape[0], 1), model.config.decoder_start_token_id)
        given["decoder_input_ids"] = torch.cat([start, ids[:, :15]], 1)
    out = model(**given)
    found = {"output": out.logits if hasattr(out, "logits") else out.last_hidden_state}
    if model.can_generate():
        kwargs = dict(do_sample=False, max_new_tokens=20, eos_token_id=None, pad_token_id=0)
        prompt = dict(input_ids=ids[:1], attention_mask=torch.ones_like(ids[:1]))
        tokens = model.generate(**prompt, **kwargs)[0]
        found["tokens"] = tokens[-20:].tolist()
    return found


def main(names):
    for name in names:
        kind, config = SIZES[name]
        torch.manual_seed(1)
        model = kind(config).eval()
        ids = torch.randint(5, 20000, (2, LENGTH))
        expected = theirs(model, ids)
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            del model
            (Path(folder) / "ids.json").write_text(json.dumps(ids.tolist()))
            program = HERE.parent / "programs" / "real-size.mjs"
            start = time.perf_counter()
            subprocess.run(["node", program, name, folder], check=True)
            seconds = time.perf_counter() - start
            output = torch.frombuffer(bytearray((Path(folder) / "output.f32").read_bytes()), dtype=torch.float32)
            written = json.loads((Path(folder) / "output.json").read_text())
        wanted = expected["output"].flatten()
        assert output.shape == wanted.shape, (output.shape, wanted.shape)
        error = ((output - wanted).abs().max() / wanted.abs().max()).item()
        same = written["tokens"] == expected["tokens"] if "tokens" in expected else "-"
        print(f"{name}: error {error:.1e}, greedy tokens equal: {same}, {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(SIZES))
