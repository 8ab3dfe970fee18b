"""Trains a character-level GPT in PyTorch on the Brown corpus, in nanoGPT's CPU setting: the peer to compare with.

The setting is that of nanoGPT's README for a machine without a GPU (4 layers, 4 heads, 128 wide, context 64, batch 12,
2000 steps, no dropout) on top of its `train_shakespeare_char` configuration. The corpus texts come from
`node scripts/brown.mjs --out DIR`; the vocabulary is every character that occurs in either of them.

    python bench/peers/brown_gpt.py DIR --seeds 1 2 3 --threads 2

prints one line of JSON per seed.
"""

import argparse
import json
import math
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LAYERS, HEADS, HIDDEN, CONTEXT, BATCH = 4, 4, 128, 64, 12
NORM_EPSILON = 1e-5
LEARNING_RATE, MIN_LEARNING_RATE, WARMUP = 1e-3, 1e-4, 100
BETAS, ADAM_EPSILON, WEIGHT_DECAY, MAX_GRADIENT_NORM = (0.9, 0.99), 1e-8, 0.1, 1.0
EVALUATION_BATCH = 256


class Attention(nn.Module):
    """Causal self-attention over HEADS heads, [B, T, C] to [B, T, C]."""

    def __init__(self) -> None:
        super().__init__()
        self.c_attn = nn.Linear(HIDDEN, 3 * HIDDEN, bias=False)
        self.c_proj = nn.Linear(HIDDEN, HIDDEN, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        query, key, value = (
            part.view(batch, length, HEADS, HIDDEN // HEADS).transpose(1, 2)
            for part in self.c_attn(x).split(HIDDEN, dim=-1)
        )
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.c_proj(mixed.transpose(1, 2).reshape(batch, length, HIDDEN))


class FeedForward(nn.Module):
    """The two-layer perceptron with exact GELU, four times as wide inside."""

    def __init__(self) -> None:
        super().__init__()
        self.c_fc = nn.Linear(HIDDEN, 4 * HIDDEN, bias=False)
        self.c_proj = nn.Linear(4 * HIDDEN, HIDDEN, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.gelu(self.c_fc(x)))


class Block(nn.Module):
    """Pre-norm residual block."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(HIDDEN, eps=NORM_EPSILON, bias=False)
        self.attn = Attention()
        self.ln_2 = nn.LayerNorm(HIDDEN, eps=NORM_EPSILON, bias=False)
        self.mlp = FeedForward()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """Characters [B, T] to logits [B, T, V], with the token embedding as output projection."""

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__()
        self.wte = nn.Embedding(vocabulary_size, HIDDEN)
        self.wpe = nn.Embedding(CONTEXT, HIDDEN)
        self.h = nn.ModuleList(Block() for _ in range(LAYERS))
        self.ln_f = nn.LayerNorm(HIDDEN, eps=NORM_EPSILON, bias=False)
        self.initialise()

    def initialise(self) -> None:
        """N(0, 0.02) for matrices; those that write to the residual stream are 1/sqrt(2 LAYERS) smaller."""
        for name, parameter in self.named_parameters():
            if parameter.dim() >= 2:
                scale = 1 / math.sqrt(2 * LAYERS) if name.endswith("c_proj.weight") else 1.0
                nn.init.normal_(parameter, std=0.02 * scale)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]
        for block in self.h:
            x = block(x)
        return F.linear(self.ln_f(x), self.wte.weight)


def mean_loss(model: GPT, inputs: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy, in nats per character."""
    return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to the minimum at the last step."""
    if step < WARMUP:
        return LEARNING_RATE * (step + 1) / (WARMUP + 1)
    progress = (step - WARMUP) / (steps - WARMUP)
    return MIN_LEARNING_RATE + 0.5 * (1 + math.cos(math.pi * progress)) * (LEARNING_RATE - MIN_LEARNING_RATE)


def random_windows(text: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Inputs and next-character targets, [BATCH, CONTEXT] each, at uniformly drawn places of the text."""
    starts = torch.randint(len(text) - CONTEXT, (BATCH, 1), generator=generator)
    places = starts + torch.arange(CONTEXT)
    return text[places], text[places + 1]


@torch.no_grad()
def held_out_loss(model: GPT, text: Tensor) -> float:
    """Mean loss over the whole text in windows side by side; the incomplete last window is left out."""
    windows = (len(text) - 1) // CONTEXT
    inputs = text[: windows * CONTEXT].view(windows, CONTEXT)
    targets = text[1 : windows * CONTEXT + 1].view(windows, CONTEXT)
    total = 0.0
    for some_inputs, some_targets in zip(inputs.split(EVALUATION_BATCH), targets.split(EVALUATION_BATCH)):
        total += mean_loss(model, some_inputs, some_targets).item() * len(some_inputs)
    return total / windows


def train(train_text: Tensor, held_out_text: Tensor, vocabulary_size: int, seed: int, steps: int) -> dict:
    """One run; the time of a step covers sampling, both passes, clipping and the update."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = GPT(vocabulary_size)
    matrices = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}],
        betas=BETAS,
        eps=ADAM_EPSILON,
    )

    first_loss = None
    milliseconds = []
    for step in range(steps):
        started = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        inputs, targets = random_windows(train_text, generator)
        loss = mean_loss(model, inputs, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
        optimizer.step()
        if first_loss is None:
            first_loss = loss.item()
        milliseconds.append(1000 * (time.perf_counter() - started))

    return {
        "seed": seed,
        "steps": steps,
        "heldOutLoss": round(held_out_loss(model, held_out_text), 5),
        "firstLoss": round(first_loss, 5),
        "msPerStep": round(statistics.median(milliseconds), 3),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "vocabularySize": vocabulary_size,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="holds brown-train.txt and brown-heldout.txt")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2000)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    train_text, held_out_text = (
        (arguments.directory / name).read_text(encoding="utf-8") for name in ("brown-train.txt", "brown-heldout.txt")
    )
    identifiers = {character: index for index, character in enumerate(sorted(set(train_text) | set(held_out_text)))}

    def encode(text: str) -> Tensor:
        return torch.tensor([identifiers[character] for character in text])

    encoded_train, encoded_held_out = encode(train_text), encode(held_out_text)
    for seed in arguments.seeds:
        result = train(encoded_train, encoded_held_out, len(identifiers), seed, arguments.steps)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
