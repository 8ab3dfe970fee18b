"""The models of bench/models.ts in PyTorch."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INITIAL_STD = 0.02


class Attention(nn.Module):
    """Multi-head attention, [B, T, C] to [B, T, C], over the input itself or over a memory [B, S, C]."""

    def __init__(self, hidden: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.fused = True  # PyTorch's own kernel, or matrix products and a softmax
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.output = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        hidden = x.shape[2]
        if memory is None:
            parts = self.qkv(x).split(hidden, dim=2)
        else:
            weights, biases = (p.split([hidden, 2 * hidden]) for p in (self.qkv.weight, self.qkv.bias))
            keys_and_values = F.linear(memory, weights[1], biases[1])
            parts = (F.linear(x, weights[0], biases[0]), *keys_and_values.split(hidden, dim=2))
        query, key, value = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)
        if self.fused:
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        else:
            scores = query @ key.transpose(2, 3) * (1 / math.sqrt(hidden // self.heads))
            if self.causal:
                future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
                scores = scores.masked_fill(future, -math.inf)
            mixed = F.softmax(scores, dim=-1) @ value
        return self.output(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """A pre-norm layer of GPT-2."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(hidden)
        self.attention = Attention(hidden, heads, causal=True)
        self.mlp_norm = nn.LayerNorm(hidden)
        self.up = nn.Linear(hidden, 4 * hidden)
        self.down = nn.Linear(4 * hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        return x + self.down(F.gelu(self.up(self.mlp_norm(x)), approximate="tanh"))


class GPT(nn.Module):
    """Decoder-only Transformer with the token embedding tied to the output."""

    def __init__(self, size: dict) -> None:
        super().__init__()
        hidden = size["hidden"]
        self.tokens = nn.Embedding(size["vocabulary"], hidden)
        self.positions = nn.Embedding(size["context"], hidden)
        self.blocks = nn.ModuleList(Block(hidden, size["heads"]) for _ in range(size["layers"]))
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


class Layer(nn.Module):
    """A post-norm layer of the encoder, or with cross-attention of the decoder."""

    def __init__(self, hidden: int, heads: int, is_decoder: bool) -> None:
        super().__init__()
        self.attention = Attention(hidden, heads, causal=is_decoder)
        self.attention_norm = nn.LayerNorm(hidden)
        self.cross_attention = Attention(hidden, heads) if is_decoder else None
        self.cross_norm = nn.LayerNorm(hidden) if is_decoder else None
        self.up = nn.Linear(hidden, 4 * hidden)
        self.down = nn.Linear(4 * hidden, hidden)
        self.mlp_norm = nn.LayerNorm(hidden)

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        x = self.attention_norm(x + self.attention(x))
        if memory is not None:
            x = self.cross_norm(x + self.cross_attention(x, memory))
        return self.mlp_norm(x + self.down(F.relu(self.up(x))))


class EncoderDecoder(nn.Module):
    """The Transformer of 2017, with the output tied to the target embedding."""

    def __init__(self, size: dict) -> None:
        super().__init__()
        hidden, heads, layers = size["hidden"], size["heads"], size["layers"]
        self.source_tokens = nn.Embedding(size["vocabulary"], hidden)
        self.target_tokens = nn.Embedding(size["vocabulary"], hidden)
        self.register_buffer("positions", sinusoidal_positions(size["context"], hidden))
        self.encoder = nn.ModuleList(Layer(hidden, heads, is_decoder=False) for _ in range(layers))
        self.decoder = nn.ModuleList(Layer(hidden, heads, is_decoder=True) for _ in range(layers))
        for embedding in (self.source_tokens, self.target_tokens):
            nn.init.normal_(embedding.weight, std=INITIAL_STD)

    def forward(self, source: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        memory = self.source_tokens(source) + self.positions[: source.shape[1]]
        for layer in self.encoder:
            memory = layer(memory)
        x = self.target_tokens(inputs) + self.positions[: inputs.shape[1]]
        for layer in self.decoder:
            x = layer(x, memory)
        logits = F.linear(x, self.target_tokens.weight)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def sinusoidal_positions(length: int, hidden: int) -> Tensor:
    wavelengths = 10000 ** (torch.arange(0, hidden, 2) / hidden)
    angles = torch.arange(length)[:, None] / wavelengths
    return torch.stack((angles.sin(), angles.cos()), dim=2).flatten(1)
