"""Toy encoders of Hugging Face transformers, as their own classes save them, and what they compute.

    python test/golden/make_encoders.py                 writes test/golden/encoders/<name>/
    python test/golden/make_encoders.py --check FOLDER  loads FOLDER/<name>/, written by this library (see
                                                        test/golden-encoders.test.ts), and compares the outputs

Made with torch 2.13 and transformers 5.17.
"""

import json
import sys
from pathlib import Path

import torch
import transformers as hf
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent / "encoders"
COMMON = dict(vocab_size=36, initializer_range=0.3)
BERT = dict(
    **COMMON,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=12,
)
ROBERTA = dict(BERT, max_position_embeddings=14, type_vocab_size=1, layer_norm_eps=1e-5, hidden_act="gelu_new")
DISTIL = dict(**COMMON, dim=16, hidden_dim=24, n_layers=2, n_heads=4, max_position_embeddings=12)


def tokens(width):
    labels = torch.randint(3, 36, (2, width))
    labels[0, 1:4] = -100
    labels[1, 6:] = -100
    return labels


MASKED = dict(labels=lambda: tokens(9))
CLASSES = dict(labels=lambda: torch.tensor([2, 0]))
MODELS = {
    "bert": (hf.BertModel, hf.BertConfig(**BERT), {}),
    "bert-pretraining": (
        hf.BertForPreTraining,
        hf.BertConfig(**BERT),
        dict(labels=lambda: tokens(9), next_sentence_label=lambda: torch.tensor([1, 0])),
    ),
    "bert-masked": (hf.BertForMaskedLM, hf.BertConfig(**BERT), MASKED),
    "roberta-masked": (hf.RobertaForMaskedLM, hf.RobertaConfig(**ROBERTA), MASKED),
    "distilbert-masked": (hf.DistilBertForMaskedLM, hf.DistilBertConfig(**DISTIL), MASKED),
    "bert-classes": (hf.BertForSequenceClassification, hf.BertConfig(**BERT, num_labels=3), CLASSES),
    "roberta-classes": (hf.RobertaForSequenceClassification, hf.RobertaConfig(**ROBERTA, num_labels=3), CLASSES),
    "distilbert-classes": (
        hf.DistilBertForSequenceClassification,
        hf.DistilBertConfig(**DISTIL, num_labels=3),
        CLASSES,
    ),
    "bert-regression": (
        hf.BertForSequenceClassification,
        hf.BertConfig(**BERT, num_labels=1),
        dict(labels=lambda: torch.tensor([0.3, -1.0])),
    ),
    "bert-multilabel": (
        hf.BertForSequenceClassification,
        hf.BertConfig(**BERT, num_labels=3, problem_type="multi_label_classification"),
        dict(labels=lambda: torch.tensor([[1.0, 0, 1], [0, 0, 1]])),
    ),
    "bert-tokens": (hf.BertForTokenClassification, hf.BertConfig(**BERT, num_labels=36), MASKED),
    "bert-answers": (
        hf.BertForQuestionAnswering,
        hf.BertConfig(**BERT),
        dict(start_positions=lambda: torch.tensor([1, 4]), end_positions=lambda: torch.tensor([5, 4])),
    ),
    "distilbert-answers": (
        hf.DistilBertForQuestionAnswering,
        hf.DistilBertConfig(**DISTIL),
        dict(start_positions=lambda: torch.tensor([1, 4]), end_positions=lambda: torch.tensor([5, 4])),
    ),
}
OUTPUTS = {
    "logits": "logits",
    "prediction_logits": "logits",
    "seq_relationship_logits": "next_sentence",
    "start_logits": "start",
    "end_logits": "end",
    "last_hidden_state": "last",
    "pooler_output": "pooled",
}


def inputs(name):
    torch.manual_seed(0)
    ids = torch.randint(3, 36, (2, 9))
    lengths = torch.tensor([9, 6])
    mask = (torch.arange(9)[None] < lengths[:, None]).long()
    ids = torch.where(mask.bool(), ids, 1 if name.startswith("roberta") else 0)
    given = dict(input_ids=ids, attention_mask=mask)
    if name.startswith("bert"):
        given["token_type_ids"] = torch.tensor([[0] * 4 + [1] * 5, [0] * 3 + [1] * 6])
    return given, lengths


def run(model, name, labels):
    given, lengths = inputs(name)
    out = model(**given, **labels, output_hidden_states=True, output_attentions=True)
    found = {OUTPUTS[k]: v for k, v in out.items() if k in OUTPUTS}
    found |= {f"hidden.{i}": h for i, h in enumerate(out.hidden_states)}
    found |= {f"attention.{i}": a for i, a in enumerate(out.attentions)}
    return given, lengths, out, found


def make(name, kind, config, given_labels):
    torch.manual_seed(1)
    config._attn_implementation = "eager"
    model = kind(config)
    with torch.no_grad():  # norms and biases start as ones and zeros, which would hide mistakes
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    model.eval()
    labels = {key: value() for key, value in given_labels.items()}
    given, lengths, out, expected = run(model, name, labels)
    if labels:
        out.loss.backward()
        expected["loss"] = out.loss[None]
        expected |= {f"gradient.{n}": p.grad for n, p in model.named_parameters() if p.grad is not None}
    expected |= {"ids": given["input_ids"], "lengths": lengths}
    if "token_type_ids" in given:
        expected["types"] = given["token_type_ids"]
    expected |= labels
    folder = HERE / name
    model.save_pretrained(folder)
    if name == "bert":  # as sentence-transformers has it
        modules = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
        listed = [dict(idx=i, name=str(i), path=p, type=f"sentence_transformers.models.{t}") for i, (t, p) in enumerate(modules)]
        (folder / "modules.json").write_text(json.dumps(listed, indent=2))
        (folder / "1_Pooling").mkdir(exist_ok=True)
        pooling = dict(word_embedding_dimension=16, pooling_mode_cls_token=False, pooling_mode_mean_tokens=True)
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling, indent=2))
        mask = given["attention_mask"][..., None]
        last = model(input_ids=given["input_ids"], attention_mask=given["attention_mask"]).last_hidden_state
        mean = (last * mask).sum(1) / mask.sum(1)
        expected["sentence"] = torch.nn.functional.normalize(mean)
    stored = {k: v.int() if v.dtype == torch.long else v for k, v in expected.items()}
    save_file({k: v.detach().clone().contiguous() for k, v in stored.items()}, folder / "expected.safetensors")
    print(name, sum(f.stat().st_size for f in folder.rglob("*.*")), "bytes")


def check(folder):
    for name, (kind, _, _) in MODELS.items():
        model = kind.from_pretrained(folder / name, attn_implementation="eager").eval()
        expected = load_file(HERE / name / "expected.safetensors")
        with torch.no_grad():
            found = run(model, name, {})[3]
        print(name, "largest difference", max((found[k] - expected[k]).abs().max().item() for k in found))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        check(Path(sys.argv[2]))
    else:
        for name, (kind, config, labels) in MODELS.items():
            make(name, kind, config, labels)
