"""Writes tensorboard/run.tfevents and tensorboard/hparams.tfevents, for test/tensorboard.test.ts.

    pip install torch==2.13.0 tensorboard==2.21.0 protobuf
    python test/golden/make_tensorboard.py

They are what torch's SummaryWriter makes of the calls below through the tensorboard package. The clock stands still, so
that the bytes are always the same; sums of the values in histograms are exact in any order.
"""

import pathlib
import tempfile
import time
from unittest import mock

import numpy as np
from torch.utils.tensorboard import SummaryWriter

here = pathlib.Path(__file__).parent / "tensorboard"
here.mkdir(exist_ok=True)

values = np.array([((37 * i) % 101 - 50) / 64 for i in range(300)])
wide = np.array([0.0, 2.0**-60, -(2.0**-40), 1.0, -1.0, 1024.0, -(2.0**30), 2.0**50, 1e-12, -1e-12])

with tempfile.TemporaryDirectory() as folder, mock.patch.object(time, "time", lambda: 1700000000.25):
    with SummaryWriter(folder, purge_step=7) as writer:
        writer.add_scalar("train/loss", 1.7118, 7)
        writer.add_scalar("train/loss", 0.0, 8)
        writer.add_scalar("eval/perplexity", float("inf"), 200)
        writer.add_scalar("eval/läuft", -3.25e-20, 2**40)
        writer.add_histogram("weights/a", values, 8)
        writer.add_histogram("weights/wide", wide, 8)
        writer.add_histogram("weights/zeros", np.zeros(5), 0)
        writer.add_text("args", "| a | b |\n|---|---|\n| 1 | größer |", 0)
        writer.add_hparams({"lr": 0.5}, {"eval/loss": 2.5}, run_name="trial", global_step=9)
    for name, place in (("run", folder), ("hparams", folder + "/trial")):
        (source,) = pathlib.Path(place).glob("events.out.tfevents.*")
        (here / f"{name}.tfevents").write_bytes(source.read_bytes())
