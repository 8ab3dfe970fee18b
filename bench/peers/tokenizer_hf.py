"""The training of tokenizers in Hugging Face's tokenizers: the peer of bench/tokenizer.bench.ts.

Reads a JSON object per line and answers each with one:

    {"threads": N}                              the first line; answers with the version
    {"kind", "vocabSize", "file", "out"}        trains, writes the tokens to `out` and answers with the milliseconds and the
                                                largest memory of the process so far
"""

import json
import os
import sys
import time
from pathlib import Path

from serve import answer, peak_bytes, requests

REQUESTS = requests()
os.environ["RAYON_NUM_THREADS"] = str(next(REQUESTS)["threads"])
try:
    import tokenizers
    from tokenizers.implementations import (
        BertWordPieceTokenizer,
        ByteLevelBPETokenizer,
        SentencePieceUnigramTokenizer,
    )
except ImportError as error:
    answer({"missing": str(error)})
    sys.exit()

KINDS = {
    "bpe": ByteLevelBPETokenizer,
    "wordpiece": BertWordPieceTokenizer,
    "unigram": SentencePieceUnigramTokenizer,
}

answer({"version": tokenizers.__version__})
for request in REQUESTS:
    tokenizer = KINDS[request["kind"]]()
    start = time.perf_counter()
    tokenizer.train([request["file"]], vocab_size=request["vocabSize"], show_progress=False)
    elapsed_ms = 1000 * (time.perf_counter() - start)
    Path(request["out"]).write_text(json.dumps(list(tokenizer.get_vocab())))
    answer({"ms": elapsed_ms, "peakBytes": peak_bytes()})
