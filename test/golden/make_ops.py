"""Writes ops.safetensors: outputs and gradients from PyTorch of the operations whose definition could be got wrong.

Each case stores its arguments as `<case>.<argument>`, the output as `<case>.y`, an upstream gradient as `<case>.dy`
and, for every floating-point argument, the gradient of sum(y * dy) as `<case>.d<argument>`. Arguments are rounded to
float32 and the computation is in float64. Scalar outputs have shape [1]; integers are int32; attention tensors are
[batch, time, heads, channels]. The metadata entry "constants" is a JSON object, by case, of epsilons and the like.

Run as `python test/golden/make_ops.py` (torch and safetensors are needed here only; the tests read the file).
"""

import json
import math
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

SEED = 20240522
LAYER_NORM_EPSILON = 1e-5
RMS_NORM_EPSILON = 1e-6
LABEL_SMOOTHING = 0.1
IGNORED = -100
ROTARY_THETA = 1e4
ROTARY_START = 5
SINUSOIDAL_BASE = 1e4

generator = torch.Generator().manual_seed(SEED)
tensors: dict[str, Tensor] = {}
constants: dict[str, dict[str, float]] = {}


def normal(*shape: int) -> Tensor:
    """Standard normal values in float64."""
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def integers(bound: int, *shape: int) -> Tensor:
    """Uniform integers in [0, bound)."""
    return torch.randint(bound, shape, generator=generator)


def record(case: str, compute: Callable[..., Tensor], **arguments: Tensor) -> None:
    """Runs one case forward and backward and stores all that it takes and gives."""
    for name, argument in arguments.items():
        if argument.is_floating_point():
            tensors[f"{case}.{name}"] = argument.float()
            arguments[name] = argument.float().double().requires_grad_()
        else:
            tensors[f"{case}.{name}"] = argument.int()

    output = compute(**arguments)
    output = output.reshape(1) if output.dim() == 0 else output
    tensors[f"{case}.y"] = output.detach().float().contiguous()
    if not output.requires_grad:
        return

    upstream = normal(*output.shape).float()
    output.backward(upstream.double())
    tensors[f"{case}.dy"] = upstream
    for name, argument in arguments.items():
        if argument.is_floating_point():
            tensors[f"{case}.d{name}"] = argument.grad.float().contiguous()


def norm_input() -> Tensor:
    """[3, 4, 7] with one row far from zero mean and one so small that the epsilon shows in the result."""
    x = normal(3, 4, 7)
    x[0, 1] += 10
    x[2, 3] *= 0.02
    return x


def norms() -> None:
    """layer_norm: (x - mean) / sqrt(biased variance + eps) w + b; rms_norm: x / sqrt(mean(x^2) + eps) w."""
    width = 7
    record(
        "layer_norm",
        lambda x, weight, bias: F.layer_norm(x, (width,), weight, bias, LAYER_NORM_EPSILON),
        x=norm_input(),
        weight=1 + 0.25 * normal(width),
        bias=normal(width),
    )
    record(
        "rms_norm",
        lambda x, weight: F.rms_norm(x, (width,), weight, RMS_NORM_EPSILON),
        x=norm_input(),
        weight=1 + 0.25 * normal(width),
    )
    constants["layer_norm"] = {"eps": LAYER_NORM_EPSILON}
    constants["rms_norm"] = {"eps": RMS_NORM_EPSILON}


def activations() -> None:
    """gelu: x Phi(x); gelu_tanh: its tanh approximation; silu: x sigmoid(x). Inputs reach into both tails."""
    record("gelu", lambda x: F.gelu(x), x=2.5 * normal(5, 13))
    record("gelu_tanh", lambda x: F.gelu(x, approximate="tanh"), x=2.5 * normal(5, 13))
    record("silu", lambda x: F.silu(x), x=2.5 * normal(5, 13))


def losses() -> None:
    """Mean cross-entropy over the targets that are not ignored; smoothing s puts s/V on every class.

    With smoothing, a row's loss is -sum_c q_c log p_c where q = (1 - s) onehot(target) + s / V.
    """
    vocabulary = 11

    def targets() -> Tensor:
        drawn = integers(vocabulary, 3, 5)
        drawn[0, 2] = drawn[2, 0] = IGNORED
        return drawn

    def cross_entropy(smoothing: float) -> Callable[..., Tensor]:
        return lambda logits, targets: F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, label_smoothing=smoothing
        )

    record("cross_entropy", cross_entropy(0.0), logits=2 * normal(3, 5, vocabulary), targets=targets())
    record(
        "cross_entropy_smoothed",
        cross_entropy(LABEL_SMOOTHING),
        logits=2 * normal(3, 5, vocabulary),
        targets=targets(),
    )
    constants["cross_entropy"] = {"ignoreIndex": IGNORED}
    constants["cross_entropy_smoothed"] = {"ignoreIndex": IGNORED, "labelSmoothing": LABEL_SMOOTHING}


def attention() -> None:
    """softmax(q k^T / sqrt(D)) v. Grouped: query head h reads key and value head floor(h / (H / KvHeads))."""

    def attend(causal: bool) -> Callable[..., Tensor]:
        return lambda q, k, v: F.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            is_causal=causal,
            enable_gqa=q.shape[2] != k.shape[2],
        ).transpose(1, 2)

    def arguments(queries: int, keys: int, heads: int, kv_heads: int, channels: int) -> dict[str, Tensor]:
        batch = 2
        return {
            "q": normal(batch, queries, heads, channels),
            "k": normal(batch, keys, kv_heads, channels),
            "v": normal(batch, keys, kv_heads, channels),
        }

    record("attention_causal", attend(True), **arguments(7, 7, 3, 3, 5))
    record("attention_cross", attend(False), **arguments(5, 9, 3, 3, 5))
    record("attention_grouped", attend(True), **arguments(7, 7, 6, 2, 5))


def rotary() -> None:
    """Rotates channel pairs (i, i + D/2) by position * theta^(-2i/D): the half-split convention of Llama models."""

    def rotate(x: Tensor, positions: Tensor) -> Tensor:
        channels = x.shape[-1]
        frequencies = ROTARY_THETA ** (-torch.arange(0, channels, 2, dtype=torch.float64) / channels)
        angles = (positions.double()[:, None] * frequencies).repeat(1, 2)[:, None, :]  # [T, 1, D]
        first, second = x.chunk(2, dim=-1)
        return x * angles.cos() + torch.cat((-second, first), dim=-1) * angles.sin()

    time = 7
    record("rotary", rotate, x=normal(2, time, 3, 6), positions=torch.arange(time))
    record("rotary_offset", rotate, x=normal(2, time, 3, 6), positions=torch.arange(time) + ROTARY_START)
    constants["rotary"] = {"theta": ROTARY_THETA, "start": 0}
    constants["rotary_offset"] = {"theta": ROTARY_THETA, "start": ROTARY_START}


def sinusoidal() -> None:
    """Table [T, D] of sin(t / 10000^(2i/D)) in channel 2i and cos of the same angle in channel 2i + 1."""
    time, channels = 9, 10

    def table(positions: Tensor) -> Tensor:
        frequencies = torch.exp(torch.arange(0, channels, 2).double() * (-math.log(SINUSOIDAL_BASE) / channels))
        angles = positions.double()[:, None] * frequencies
        return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)

    record("sinusoidal", table, positions=torch.arange(time))
    constants["sinusoidal"] = {"base": SINUSOIDAL_BASE}


def embedding() -> None:
    """Rows of a [11, 5] table; indices repeat, so that gradients must add up, and some rows are never read."""
    indices = integers(9, 3, 7)
    record("embedding", lambda weight, indices: F.embedding(indices, weight), weight=normal(11, 5), indices=indices)


def main() -> None:
    torch.set_num_threads(1)
    for write_cases in (norms, activations, losses, attention, rotary, sinusoidal, embedding):
        write_cases()
    save_file(tensors, Path(__file__).with_name("ops.safetensors"), metadata={"constants": json.dumps(constants)})


if __name__ == "__main__":
    main()
