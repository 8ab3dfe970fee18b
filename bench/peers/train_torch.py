"""Training steps in PyTorch: a peer of bench/train.bench.ts.

Reads a JSON object per line and answers each with one:

    {"threads": N, "model": ModelSize, "device": "cpu"}
                                             the first line: builds model and optimizer; answers with the version
    {"steps": N, "mode": "f32 sdpa"}         trains; answers with the milliseconds of each step, elapsed and of CPU time,
                                             the last loss, and the largest memory of the process, or of PyTorch on the
                                             device, so far

A mode is a dtype (f32, or bf16 with autocast) and an attention (sdpa: PyTorch's fused kernel, or plain: matrix products
and a softmax), run eagerly or, with a third word "compile", by torch.compile. The optimizer is AdamW, fused.
"""

import math
import sys
import time

from serve import answer, peak_bytes, requests

REQUESTS = requests()
SETUP = next(REQUESTS)
try:
    import torch
    from torch import nn

    from torch_models import GPT, Attention, EncoderDecoder
except ImportError as error:
    answer({"missing": str(error)})
    sys.exit()

LEARNING_RATE, BETAS, WEIGHT_DECAY = 3e-4, (0.9, 0.95), 0.1


def make_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=BETAS, fused=True)


def main() -> None:
    device = torch.device(SETUP.get("device", "cpu"))
    if device.type == "cuda" and not torch.cuda.is_available():
        answer({"missing": f"torch {torch.__version__} finds no CUDA device"})
        return
    torch.set_num_threads(SETUP["threads"])
    torch.manual_seed(0)
    torch.set_default_device(device)
    torch.set_float32_matmul_precision("high" if device.type == "cuda" else "highest")
    size = SETUP["model"]
    is_gpt = size["kind"] == "gpt"
    eager = (GPT if is_gpt else EncoderDecoder)(size)
    optimizer = make_optimizer(eager)
    batch = torch.randint(size["vocabulary"], (2 if is_gpt else 3, size["batch"], size["length"])).unbind()
    compiled = torch.compile(eager)

    def train_step(model: nn.Module, bf16: bool) -> float:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            loss = model(*batch)
        loss.backward()
        optimizer.step()
        return loss.item()

    answer({"version": torch.__version__})
    for request in REQUESTS:
        dtype, attention, *how = request["mode"].split()
        model = compiled if how == ["compile"] else eager
        for module in eager.modules():
            if isinstance(module, Attention):
                module.fused = attention == "sdpa"
        wall, cpu, loss = [], [], math.nan
        try:
            for _ in range(request["steps"]):
                wall_start, cpu_start = time.perf_counter(), time.process_time()
                loss = train_step(model, dtype == "bf16")
                wall.append(1000 * (time.perf_counter() - wall_start))
                cpu.append(1000 * (time.process_time() - cpu_start))
        except Exception as error:  # torch.compile needs a compiler that works
            answer({"failed": f"{type(error).__name__}: {error}".splitlines()[0]})
            continue
        peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else peak_bytes()
        answer({"wall": wall, "cpu": cpu, "loss": loss, "peakBytes": peak})


main()
