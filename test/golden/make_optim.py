"""Writes optim.safetensors: parameters after 50 updates and learning rates of 1,000 steps, from PyTorch and Transformers.

`optimizers.<case>.<k>` is parameter k after the last update, in float64 rounded to float32; `optimizers.<case>.norms` are
the norms of all gradients before clipping. Parameters and gradients follow from a formula (`value`), which the test
repeats. Parameter 2 has no gradient in every fourth step. `schedules.<case>` are learning rates, `plateau.<case>` those
after each metric. The metadata entry "cases" is a JSON object of what each case was made with, and "decayed" has the
number of elements that Hugging Face's Trainer decays in the models of the neighbouring folders.

Run as `python test/golden/make_optim.py` (torch, transformers and safetensors are needed here only).
"""

import json
import math
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor
from transformers.optimization import Adafactor, get_scheduler
from transformers.trainer_pt_utils import get_parameter_names

STEPS = 50
SHAPES = [[7, 5], [3, 40], [33], [4, 3, 5], [1]]
MATRICES = [[7, 5], [5, 7], [16, 16], [1, 9], [33, 2]]
FOLDER = Path(__file__).parent

tensors: dict[str, Tensor] = {}
cases: dict[str, dict] = {"optimizers": {}, "schedules": {}, "plateau": {}}


def value(k: int, t: int, count: int) -> Tensor:
    """Elements of parameter k (t = 0) or of its gradient in step t (from 1), in float64 from float32."""
    h = (torch.arange(count) * 7919 + k * 104729 + t * 15485863) % 65521
    noise = (h * h % 65521).double() / 65521 * 2 - 1
    return (noise * (1 + t % 5) if t else noise).float().double()


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023, algorithm 2."""

    def __init__(self, params, lr, betas, weight_decay):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                c = m * beta1 + p.grad * (1 - beta1)
                assert c.abs().min() > 1e-6 * c.abs().max(), "a sign that rounding could change"
                p.sub_(group["lr"] * torch.sign(c))
                m.mul_(beta2).add_(p.grad, alpha=1 - beta2)


class MuonWithoutRounding(torch.optim.Optimizer):
    """torch.optim.Muon, whose iteration is in the precision of the parameters."""

    def __init__(self, params, lr, weight_decay, momentum, nesterov, adjust_lr_fn):
        super().__init__(params, dict(lr=lr, wd=weight_decay, mu=momentum, nesterov=nesterov, adjust=adjust_lr_fn))

    @torch.no_grad()
    def step(self):
        a, b, c = 3.4445, -4.7750, 2.0315
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                buffer = self.state[p].setdefault("b", torch.zeros_like(p))
                buffer.lerp_(p.grad, 1 - group["mu"])
                x = p.grad.lerp(buffer, group["mu"]) if group["nesterov"] else buffer.clone()
                rows, columns = x.shape
                x = x.T if rows > columns else x
                x = x / x.norm().clamp(min=1e-7)
                for _ in range(5):
                    gram = x @ x.T
                    x = a * x + (b * gram + c * gram @ gram) @ x
                x = x.T if rows > columns else x
                original = math.sqrt(max(1, rows / columns))
                scale = original if group["adjust"] == "original" else 0.2 * math.sqrt(max(rows, columns))
                p.mul_(1 - group["lr"] * group["wd"]).sub_(group["lr"] * scale * x)


def optimize(case: str, make, shapes=SHAPES, max_norm=0.0, max_value=0.0, decays=True, **facts) -> None:
    """Runs one optimizer; its learning rate falls by a hundredth of the first a step."""
    parameters = [
        torch.nn.Parameter(value(k, 0, math.prod(s)).reshape(s)) for k, s in enumerate(shapes)
    ]
    optimizer = make(parameters)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 1 - t / 100) if decays else None
    norms = []
    for t in range(1, STEPS + 1):
        for k, p in enumerate(parameters):
            gone = k == 2 and t % 4 == 3
            p.grad = None if gone else value(k, t, p.numel()).reshape(p.shape).to(p.dtype)
        limit = max_norm if max_norm else math.inf
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, limit).item())
        if max_value:
            torch.nn.utils.clip_grad_value_(parameters, max_value)
        optimizer.step()
        if scheduler:
            scheduler.step()
    for k, p in enumerate(parameters):
        tensors[f"optimizers.{case}.{k}"] = p.detach().float().contiguous()
    tensors[f"optimizers.{case}.norms"] = torch.tensor(norms)
    cases["optimizers"][case] = {
        "shapes": shapes, "maxGradNorm": max_norm, "maxGradValue": max_value, "decays": decays, **facts,
    }


def make_optimizers() -> None:
    optim = torch.optim
    one = {"lr": 1e-2}
    optimize("adamw", lambda p: optim.AdamW(p, **one, betas=(0.9, 0.95), weight_decay=0.1), max_norm=2.0)
    optimize("adamw_amsgrad", lambda p: optim.AdamW(p, **one, weight_decay=0.1, amsgrad=True), max_norm=2.0)
    optimize(
        "adamw_groups",
        lambda p: optim.AdamW(
            [{"params": p[:2], "lr": 2e-2, "weight_decay": 0.1}, {"params": p[2:], "betas": (0.8, 0.9), "eps": 1e-4}],
            **one, weight_decay=0.0,
        ),
        max_norm=2.0,
    )
    optimize("adam", lambda p: optim.Adam(p, **one, weight_decay=0.1), max_value=0.4)
    optimize("adam_amsgrad", lambda p: optim.Adam(p, **one, amsgrad=True))
    optimize("sgd", lambda p: optim.SGD(p, **one, weight_decay=0.1), max_norm=2.0)
    optimize("sgd_momentum", lambda p: optim.SGD(p, **one, momentum=0.9, dampening=0.3, weight_decay=0.1), max_norm=2.0)
    optimize("sgd_nesterov", lambda p: optim.SGD(p, **one, momentum=0.9, nesterov=True), max_value=0.4)
    optimize("lion", lambda p: Lion(p, lr=1e-2, betas=(0.9, 0.99), weight_decay=0.1), max_norm=2.0)
    optimize("adafactor", lambda p: Adafactor(p), max_norm=2.0, decays=False)
    optimize("adafactor_warmup", lambda p: Adafactor(p, beta1=0.9, warmup_init=True, weight_decay=0.1), decays=False)
    optimize(
        "adafactor_fixed",
        lambda p: Adafactor(p, lr=1e-2, relative_step=False, scale_parameter=False, weight_decay=0.1, clip_threshold=0.5),
        max_norm=2.0,
    )
    muon = {"lr": 2e-2, "weight_decay": 0.1, "momentum": 0.95}
    for nesterov, adjust in [(True, "original"), (False, "match_rms_adamw")]:
        options = {**muon, "nesterov": nesterov, "adjust_lr_fn": adjust}
        optimize(f"muon_{adjust}", lambda p: MuonWithoutRounding(p, **options), MATRICES, max_norm=2.0)
        optimize(f"muon_{adjust}_bf16", lambda p: optim.Muon(p, **options), MATRICES, max_norm=2.0)


def schedule(case: str, name: str, warmup: int, steps: int | None, rate: float, **kwargs) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    scheduler = get_scheduler(name, optimizer, warmup, steps, scheduler_specific_kwargs=kwargs)
    rates = []
    for _ in range(1000):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    tensors[f"schedules.{case}"] = torch.tensor(rates, dtype=torch.float64).float()
    cases["schedules"][case] = {"name": name, "warmup": warmup, "steps": steps, "rate": rate, "kwargs": kwargs}


def make_schedules() -> None:
    schedule("constant", "constant", 0, None, 3e-4)
    schedule("constant_with_warmup", "constant_with_warmup", 37, None, 3e-4)
    schedule("linear", "linear", 37, 950, 3e-4)
    schedule("linear_cold", "linear", 0, 900, 1.0)
    schedule("cosine", "cosine", 37, 950, 3e-4)
    schedule("cosine_waves", "cosine", 37, 950, 3e-4, num_cycles=2.25)
    schedule("restarts", "cosine_with_restarts", 37, 950, 3e-4, num_cycles=3)
    schedule("polynomial", "polynomial", 37, 950, 3e-4)
    schedule("polynomial_power", "polynomial", 10, 950, 1e-2, power=2.5, lr_end=1e-3)
    schedule("inverse_sqrt", "inverse_sqrt", 37, None, 3e-4)
    schedule("inverse_sqrt_cold", "inverse_sqrt", 0, None, 3e-4)
    schedule("inverse_sqrt_timescale", "inverse_sqrt", 37, None, 3e-4, timescale=500)
    schedule("min_lr", "cosine_with_min_lr", 37, 950, 3e-4, min_lr=2e-5)
    schedule("min_lr_rate", "cosine_with_min_lr", 37, 950, 3e-4, min_lr_rate=0.1, num_cycles=1.5)
    schedule("warmup_min_lr", "cosine_warmup_with_min_lr", 37, 950, 3e-4, min_lr_rate=0.1)
    schedule("warmup_min_lr_rate", "cosine_warmup_with_min_lr", 37, 950, 3e-4, min_lr=1e-5, warmup_lr_rate=0.2)
    schedule("wsd", "warmup_stable_decay", 37, 950, 3e-4, num_decay_steps=200)
    for kind in ["linear", "cosine", "1-sqrt"]:
        kwargs = {"num_decay_steps": 200, "num_stable_steps": 500, "min_lr_ratio": 0.1}
        schedule(f"wsd_{kind}", "warmup_stable_decay", 37, None, 3e-4, warmup_type=kind, decay_type=kind, **kwargs)


def make_plateau() -> None:
    options = {
        "default": {},
        "max": {"mode": "max", "factor": 0.5, "patience": 2, "threshold": 1e-2},
        "abs": {"threshold_mode": "abs", "threshold": 0.05, "patience": 3, "cooldown": 4, "factor": 0.7, "min_lr": 1e-3},
        "max_abs": {"mode": "max", "threshold_mode": "abs", "threshold": 0.2, "patience": 0, "eps": 1e-3, "factor": 0.9},
    }
    for case, kwargs in options.items():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **kwargs)
        rates = []
        for t in range(300):
            sign = 1 if kwargs.get("mode") == "max" else -1
            plateau.step(math.nan if t == 100 else 2 + sign * math.log(1 + t) / 3 + 0.2 * math.sin(t * t))
            rates.append(optimizer.param_groups[0]["lr"])
        tensors[f"plateau.{case}"] = torch.tensor(rates, dtype=torch.float64).float()
        cases["plateau"][case] = kwargs


def decayed() -> dict[str, list[int]]:
    """By folder: elements that the Trainer decays, and all that are trained."""
    patterns = [r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)"]
    counts = {}
    folders = [f for kind in ["decoders", "encoders", "seq2seq"] for f in FOLDER.glob(f"{kind}/*/config.json")]
    for folder in sorted(folders):
        config = transformers.AutoConfig.from_pretrained(folder.parent)
        if not config.architectures:
            continue
        kind = getattr(transformers, config.architectures[0])
        model = kind.from_pretrained(folder.parent)
        fixed = {n for n, p in kind(config).named_parameters() if not p.requires_grad}  # sinusoids
        names = set(get_parameter_names(model, [torch.nn.LayerNorm], patterns))
        trained = [(n, p.numel()) for n, p in model.named_parameters() if n not in fixed]
        key = folder.parent.relative_to(FOLDER).as_posix()
        counts[key] = [sum(c for n, c in trained if n in names), sum(c for _, c in trained)]
    return counts


make_optimizers()
make_schedules()
make_plateau()
metadata = {"cases": json.dumps(cases), "decayed": json.dumps(decayed())}
save_file(tensors, FOLDER / "optim.safetensors", metadata=metadata)
