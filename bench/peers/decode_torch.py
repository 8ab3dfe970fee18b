"""The products of generation in PyTorch: the peer of bench/decode.bench.ts.

Reads a JSON object per line and answers each with one:

    {"threads": N, "dtype": "bf16", "weights": [{"product": {"N", "K"}, "count"}]}
                                       the first line: makes the weights [N, K]; answers with the version
    {"sizes": [0], "repetitions": N}   multiplies a vector by all weights of these numbers; answers with the milliseconds
                                       of all repetitions and the largest memory of the process so far
"""

import sys
import time

from serve import answer, peak_bytes, requests

REQUESTS = requests()
SETUP = next(REQUESTS)
try:
    import torch
    import torch.nn.functional as F
except ImportError as error:
    answer({"missing": str(error)})
    sys.exit()


@torch.inference_mode()
def main() -> None:
    torch.set_num_threads(SETUP["threads"])
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[SETUP["dtype"]]
    weights, inputs = [], []
    for group in SETUP["weights"]:
        rows, columns = group["product"]["N"], group["product"]["K"]
        weights.append([torch.rand(rows, columns, dtype=dtype) for _ in range(group["count"])])
        inputs.append(torch.rand(1, columns, dtype=dtype))

    answer({"version": torch.__version__})
    for request in REQUESTS:
        start = time.perf_counter()
        for _ in range(request["repetitions"]):
            for size in request["sizes"]:
                for weight in weights[size]:
                    F.linear(inputs[size], weight)
        elapsed_ms = 1000 * (time.perf_counter() - start)
        answer({"ms": elapsed_ms, "peakBytes": peak_bytes()})


main()
