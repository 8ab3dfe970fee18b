"""Writes gpt.safetensors: a toy GPT-2, one forward and backward pass, and ten AdamW steps, from PyTorch.

The weights are rounded to float32 and everything else is computed in float64, so that the stored results are the
true ones to float32 precision. Tensor names and layouts are those of a Hugging Face GPT-2 checkpoint.

Run as `python test/golden/make_gpt.py` (torch and safetensors are needed here only; the tests read the file).
"""

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

VOCABULARY, CONTEXT, LAYERS, HEADS, HIDDEN = 29, 16, 2, 4, 24
BATCH = 3
NORM_EPSILON = 1e-5
IGNORED = -100
SEED = 20240521
STEPS, LEARNING_RATE, BETAS, ADAM_EPSILON = 10, 1e-3, (0.9, 0.95), 1e-8
WEIGHT_DECAY, MAX_GRADIENT_NORM = 0.1, 1.0

# GPT-2 checkpoints store these as [in, out] ("Conv1D"), the transpose of nn.Linear's weight.
CONV1D_SUFFIXES = ("c_attn.weight", "c_proj.weight", "c_fc.weight")


def gelu_tanh(x: Tensor) -> Tensor:
    """x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), the GELU of GPT-2."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


class Attention(nn.Module):
    """Causal self-attention: softmax(q k^T / sqrt(d)) v per head, [B, T, C] to [B, T, C]."""

    def __init__(self) -> None:
        super().__init__()
        self.c_attn = nn.Linear(HIDDEN, 3 * HIDDEN)
        self.c_proj = nn.Linear(HIDDEN, HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, _ = x.shape
        query, key, value = (
            part.view(batch, time, HEADS, HIDDEN // HEADS).transpose(1, 2)
            for part in self.c_attn(x).split(HIDDEN, dim=-1)
        )
        scores = query @ key.transpose(-2, -1) / math.sqrt(HIDDEN // HEADS)
        future = torch.ones(time, time, dtype=torch.bool).triu(1)
        probabilities = scores.masked_fill(future, -math.inf).softmax(-1)
        return self.c_proj((probabilities @ value).transpose(1, 2).reshape(batch, time, HIDDEN))


class FeedForward(nn.Module):
    """The two-layer perceptron, four times as wide inside."""

    def __init__(self) -> None:
        super().__init__()
        self.c_fc = nn.Linear(HIDDEN, 4 * HIDDEN)
        self.c_proj = nn.Linear(4 * HIDDEN, HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(gelu_tanh(self.c_fc(x)))


class Block(nn.Module):
    """Pre-norm residual block: x + attn(ln_1(x)), then x + mlp(ln_2(x))."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(HIDDEN, eps=NORM_EPSILON)
        self.attn = Attention()
        self.ln_2 = nn.LayerNorm(HIDDEN, eps=NORM_EPSILON)
        self.mlp = FeedForward()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """Tokens [B, T] to logits [B, T, V]; the output projection is the token embedding, transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(VOCABULARY, HIDDEN),
                "wpe": nn.Embedding(CONTEXT, HIDDEN),
                "h": nn.ModuleList(Block() for _ in range(LAYERS)),
                "ln_f": nn.LayerNorm(HIDDEN, eps=NORM_EPSILON),
            }
        )

    def forward(self, tokens: Tensor) -> Tensor:
        layers = self.transformer
        x = layers["wte"](tokens) + layers["wpe"](torch.arange(tokens.shape[1]))
        for block in layers["h"]:
            x = block(x)
        return layers["ln_f"](x) @ layers["wte"].weight.T


def initialise(model: GPT, generator: torch.Generator) -> None:
    """Matrices N(0, 0.2), biases N(0, 0.1), norm weights N(1, 0.1): every gradient is far from zero."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            normal = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if parameter.dim() >= 2:
                value = 0.2 * normal
            elif ".ln_" in name and name.endswith(".weight"):
                value = 1 + 0.1 * normal
            else:
                value = 0.1 * normal
            parameter.copy_(value.float())


def mean_loss(model: GPT, inputs: Tensor, targets: Tensor) -> Tensor:
    """Mean of -log p(target) over the targets that are not ignored."""
    return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten(), ignore_index=IGNORED)


def as_stored(name: str, value: Tensor) -> Tensor:
    """A parameter or its gradient in float32 and in the layout of a GPT-2 checkpoint."""
    value = value.detach().float()
    return (value.T if name.endswith(CONV1D_SUFFIXES) else value).clone().contiguous()


def train(model: GPT, inputs: Tensor, targets: Tensor) -> tuple[list[float], list[float]]:
    """Ten AdamW steps on one batch: the loss before each, and the gradient norm before clipping."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}],
        lr=LEARNING_RATE,
        betas=BETAS,
        eps=ADAM_EPSILON,
    )
    losses, norms = [], []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = mean_loss(model, inputs, targets)
        loss.backward()
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM).item())
        losses.append(loss.item())
        optimizer.step()
    return losses, norms


def main() -> None:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(SEED)
    model = GPT().double()
    initialise(model, generator)

    inputs = torch.randint(VOCABULARY, (BATCH, CONTEXT), generator=generator)
    targets = torch.randint(VOCABULARY, (BATCH, CONTEXT), generator=generator)
    targets[0, 3] = targets[2, CONTEXT - 1] = IGNORED

    logits = model(inputs)
    loss = mean_loss(model, inputs, targets)
    loss.backward()

    tensors = {
        "inputs": inputs.int(),
        "targets": targets.int(),
        "logits": logits.detach().float(),
        "loss": loss.detach().float().reshape(1),
    }
    for name, parameter in model.named_parameters():
        tensors[f"weights.{name}"] = as_stored(name, parameter)
        tensors[f"gradients.{name}"] = as_stored(name, parameter.grad)

    losses, norms = train(model, inputs, targets)  # last, because it changes the weights
    tensors["adamwLosses"] = torch.tensor(losses, dtype=torch.float32)
    tensors["gradNorms"] = torch.tensor(norms, dtype=torch.float32)

    save_file(tensors, Path(__file__).with_name("gpt.safetensors"))


if __name__ == "__main__":
    main()
