"""Writes trainer/: what Hugging Face's Trainer reports of runs on toy models, with the weights that they begin with.

The data come in their order, there is no dropout, and everything is computed in float32. Examples have different
numbers of labels that count, the last batch of a pass is not full, and neither is its last update.

Run as `python test/golden/make_trainer.py` (transformers 5.17, accelerate and torch; the tests read the files).
"""

import json
import shutil
import tempfile
from pathlib import Path

import torch
from torch.utils.data import Dataset
from transformers import (
    BertConfig,
    BertForTokenClassification,
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainingArguments,
    set_seed,
)

FOLDER = Path(__file__).parent / "trainer"
EXAMPLES, LENGTH, VOCABULARY = 21, 8, 17
SIZES = dict(vocab_size=VOCABULARY, initializer_range=0.2)


def examples(count: int, first: int) -> list[dict]:
    """Row n, place t: id 1 + (7n + 3t² + first) mod (V − 1); the first max(1, n mod 5) places have no label.

    0 is BERT's padding, which learns nothing. Nothing predicts the first place of a causal model: the Trainer counts its
    labels for some models and not for others.
    """
    rows = []
    for n in range(count):
        ids = [1 + (7 * n + 3 * t * t + first) % (VOCABULARY - 1) for t in range(LENGTH)]
        labels = [-100 if t < max(1, n % 5) else i for t, i in enumerate(ids)]
        rows.append({"input_ids": ids, "labels": labels})
    return rows


class Rows(Dataset):
    def __init__(self, rows: list[dict]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> dict:
        return {name: torch.tensor(value) for name, value in self.rows[i].items()}


def gpt2() -> GPT2LMHeadModel:
    config = GPT2Config(
        **SIZES, n_positions=LENGTH, n_embd=16, n_layer=1, n_head=2, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0
    )
    return GPT2LMHeadModel(config)


def bert() -> BertForTokenClassification:
    config = BertConfig(
        **SIZES,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=LENGTH,
        hidden_dropout_prob=0,
        attention_probs_dropout_prob=0,
        num_labels=VOCABULARY,
    )
    return BertForTokenClassification(config)


COMMON = dict(
    per_device_train_batch_size=4,
    gradient_accumulation_steps=2,
    max_steps=20,
    logging_steps=1,
    eval_steps=10,
    learning_rate=1e-2,
    weight_decay=0.1,
)
RUNS = {
    "linear": (gpt2, dict(lr_scheduler_type="linear", warmup_steps=5, max_grad_norm=0.5)),
    "cosine": (gpt2, dict(lr_scheduler_type="cosine", warmup_steps=0.1, adam_beta2=0.95)),
    "smoothed": (gpt2, dict(label_smoothing_factor=0.1)),
    "sgd": (gpt2, dict(optim="sgd", optim_args="momentum=0.9,nesterov=True", weight_decay=0.01)),
    "tokens": (bert, dict(lr_scheduler_type="inverse_sqrt", warmup_steps=3, gradient_accumulation_steps=1)),
}


def run(name: str) -> dict:
    make, options = RUNS[name]
    set_seed(20240522)  # the same weights for each run of a model
    model = make()
    model.save_pretrained(FOLDER / make.__name__)
    with tempfile.TemporaryDirectory() as output:
        arguments = TrainingArguments(
            output,
            **{**COMMON, **options},
            train_sampling_strategy="sequential",
            eval_strategy="steps",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        )
        data = Rows(examples(EXAMPLES, 1)), Rows(examples(10, 5))
        trainer = Trainer(model, arguments, train_dataset=data[0], eval_dataset=data[1])
        trainer.train()
        history = trainer.state.log_history
    timed = ("runtime", "per_second")
    history = [{k: v for k, v in entry.items() if not k.endswith(timed)} for entry in history]
    epochs = trainer.state.num_train_epochs
    return {"model": make.__name__, "options": {**COMMON, **options}, "history": history, "epochs": epochs}


if __name__ == "__main__":
    shutil.rmtree(FOLDER, ignore_errors=True)
    results = {"runs": {name: run(name) for name in RUNS}}
    results["train"], results["eval"] = examples(EXAMPLES, 1), examples(10, 5)
    for unused in FOLDER.glob("*/generation_config.json"):
        unused.unlink()
    (FOLDER / "runs.json").write_text(json.dumps(results) + "\n")
