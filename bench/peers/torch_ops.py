"""Ops in PyTorch on a CUDA device: the peer of bench/cuda.ts.

Reads a JSON object per line and answers each with one:

    {"device": "cuda"}    the first line; answers with the version
    {"op": "matmul", "pass": "forward", "dtype": "f32", "inputs": [{"name", "shape", "below"?}], "repetitions": N}
                          runs a case of test/cases that is called so; answers with the milliseconds of all repetitions,
                          -1 if it is not among the ops below. Inputs with "below" are integers.

Products of f32 are those of torch.set_float32_matmul_precision("high"), the promise that the library makes.
"""

import sys
import time
from collections.abc import Callable

from serve import answer, requests

REQUESTS = requests()
SETUP = next(REQUESTS)
try:
    import torch
    import torch.nn.functional as F
    from torch import Tensor
except ImportError as error:
    answer({"missing": str(error)})
    sys.exit()

DEVICE = torch.device(SETUP["device"])
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def attention(causal: bool) -> Callable[..., Tensor]:
    """Of [B, T, H, D]."""

    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        heads = (x.transpose(1, 2) for x in (q, k, v))
        return F.scaled_dot_product_attention(*heads, is_causal=causal).transpose(1, 2)

    return run


OPS: dict[str, Callable[..., Tensor]] = {
    "add": torch.add,
    "mul": torch.mul,
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "softmax": lambda x: F.softmax(x, -1),
    "crossEntropy": lambda logits, targets: F.cross_entropy(logits.float(), targets),
    "embedding": F.embedding,
    "layerNorm": lambda x, weight, bias: F.layer_norm(x, x.shape[-1:], weight, bias),
    "rmsNorm": lambda x, weight: F.rms_norm(x, x.shape[-1:], weight),
    "matmul": torch.matmul,
    "linear": F.linear,
    "linear with bias": F.linear,
    "linear with bias and gelu": lambda x, weight, bias: F.gelu(F.linear(x, weight, bias)),
    "linearCrossEntropy": lambda x, weight, targets: F.cross_entropy(F.linear(x, weight).float(), targets),
    "attention": attention(causal=False),
    "causal attention": attention(causal=True),
}


def make_input(name: str, shape: list[int], dtype: torch.dtype, below: int | None = None) -> Tensor:
    if below is not None:
        return torch.randint(below, shape, device=DEVICE)
    return torch.rand(shape, device=DEVICE, dtype=dtype) * 2 - 1


def prepare(request: dict) -> Callable[[], object] | None:
    op = OPS.get(request["op"])
    if op is None:
        return None
    inputs = [make_input(dtype=DTYPES[request["dtype"]], **one) for one in request["inputs"]]
    if request["pass"] == "forward":
        return torch.no_grad()(lambda: op(*inputs))
    leaves = [x.requires_grad_() for x in inputs if x.is_floating_point()]
    y = op(*inputs)
    dy = torch.rand_like(y)
    return lambda: torch.autograd.grad(y, leaves, dy, retain_graph=True)


def finish() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    if DEVICE.type == "cuda" and not torch.cuda.is_available():
        answer({"missing": f"torch {torch.__version__} finds no CUDA device"})
        return
    torch.set_float32_matmul_precision("high")
    answer({"version": torch.__version__})
    prepared, key = None, None
    for request in REQUESTS:
        repetitions = request.pop("repetitions")
        if request != key:
            prepared = None  # its memory goes first
            prepared, key = prepare(request), request
        if prepared is None:
            answer({"ms": -1})
            continue
        finish()
        start = time.perf_counter()
        for _ in range(repetitions):
            prepared()
        finish()
        answer({"ms": 1000 * (time.perf_counter() - start)})


main()
