"""Training steps of a GPT in PyTorch: the peer of bench/train.bench.ts.

Reads a JSON object per line and answers each with one:

    {"model": {"layers", "heads", "hidden", "context", "vocabulary", "batch", "length"},
     "threads": N}
                                             the first line: builds model and optimizer; answers with the version
    {"steps": N, "mode": "f32 sdpa"}         trains; answers with the milliseconds of each step, elapsed and of CPU time,
                                             the last loss, and the largest memory of the process so far

A mode is a dtype (f32, or bf16 with autocast) and an attention (sdpa: PyTorch's fused kernel, or plain: matrix products
and a softmax). The optimizer is AdamW, fused.
"""

import json
import math
import os
import resource
import sys
import time

# The first line says how many threads, which libraries read when they load.
SETUP = json.loads(sys.stdin.readline())
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(SETUP["threads"])
os.environ["MKL_DYNAMIC"] = "FALSE"

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

LEARNING_RATE, BETAS, WEIGHT_DECAY = 3e-4, (0.9, 0.95), 0.1
INITIAL_STD = 0.02


class Attention(nn.Module):
    """Causal self-attention, [B, T, C] to [B, T, C]."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.fused = True
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.output = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, hidden = x.shape
        query, key, value = (
            part.view(batch, length, self.heads, hidden // self.heads).transpose(1, 2)
            for part in self.qkv(x).split(hidden, dim=2)
        )
        if self.fused:
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            scores = query @ key.transpose(2, 3) * (1 / math.sqrt(hidden // self.heads))
            future = torch.ones(length, length, dtype=torch.bool).triu(1)
            mixed = F.softmax(scores.masked_fill(future, -math.inf), dim=-1) @ value
        return self.output(mixed.transpose(1, 2).reshape(batch, length, hidden))


class Block(nn.Module):
    """A pre-norm layer of GPT-2."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(hidden)
        self.attention = Attention(hidden, heads)
        self.mlp_norm = nn.LayerNorm(hidden)
        self.up = nn.Linear(hidden, 4 * hidden)
        self.down = nn.Linear(4 * hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        return x + self.down(F.gelu(self.up(self.mlp_norm(x)), approximate="tanh"))


class GPT(nn.Module):
    """Decoder-only Transformer with the token embedding tied to the output."""

    def __init__(self, layers: int, heads: int, hidden: int, context: int, vocabulary: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, hidden)
        self.positions = nn.Embedding(context, hidden)
        self.blocks = nn.ModuleList(Block(hidden, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)
        for parameter in self.parameters():
            if parameter.dim() >= 2:
                nn.init.normal_(parameter, std=INITIAL_STD)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.norm(x), self.tokens.weight)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def make_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=BETAS, fused=True)


def set_fused_attention(model: GPT, fused: bool) -> None:
    for block in model.blocks:
        block.attention.fused = fused


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    torch.set_num_threads(SETUP["threads"])
    torch.manual_seed(0)
    size = SETUP["model"]
    model = GPT(size["layers"], size["heads"], size["hidden"], size["context"], size["vocabulary"])
    optimizer = make_optimizer(model)
    inputs, targets = torch.randint(size["vocabulary"], (2, size["batch"], size["length"]))

    def train_step(bf16: bool) -> float:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = model(inputs, targets)
        loss.backward()
        optimizer.step()
        return loss.item()

    def answer(result: dict) -> None:
        print(json.dumps(result), flush=True)

    answer({"version": torch.__version__})
    for line in sys.stdin:
        request = json.loads(line)
        dtype, attention = request["mode"].split()
        set_fused_attention(model, attention == "sdpa")
        wall, cpu, loss = [], [], math.nan
        for _ in range(request["steps"]):
            wall_start, cpu_start = time.perf_counter(), cpu_seconds()
            loss = train_step(dtype == "bf16")
            wall.append(1000 * (time.perf_counter() - wall_start))
            cpu.append(1000 * (cpu_seconds() - cpu_start))
        peak_bytes = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        answer({"wall": wall, "cpu": cpu, "loss": loss, "peakBytes": peak_bytes})


main()
