"""Writes parquet/<codec>.parquet, the same seven rows in groups of three as pyarrow compresses them, and parquet/large-integer.parquet.

Run as `python test/golden/make_parquet.py` with pyarrow 25 (needed here only; the tests read the files).
"""

from datetime import datetime, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent / "parquet"
HERE.mkdir(exist_ok=True)

ROWS = 7
table = pa.table(
    {
        "text": pa.array(["plain", "", "déjà vu", "😀 and 東京", None, "a\nb", "plain"], pa.string()),
        "label": pa.array(range(-3, ROWS - 3), pa.int64()),
        "score": pa.array([0.5 * i for i in range(ROWS)], pa.float32()),
        "kind": pa.array(["x", "y", "x", "y", "x", "y", "x"]).dictionary_encode(),
        "tokens": pa.array([list(range(i)) for i in range(ROWS)], pa.list_(pa.int32())),
        "source": pa.array([{"id": i, "name": f"n{i}"} for i in range(ROWS)]),
        "when": pa.array([datetime(2024, 1, i + 1, tzinfo=timezone.utc) for i in range(ROWS)], pa.timestamp("ms", tz="UTC")),
        "flag": pa.array([i % 2 == 0 for i in range(ROWS)]),
    }
)
for codec in ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]:
    pq.write_table(table, HERE / f"{codec}.parquet", compression=codec, row_group_size=3)

large = pa.table({"id": pa.array([1, 2**53 - 1, 2**53], pa.int64())})
pq.write_table(large, HERE / "large-integer.parquet", compression="snappy")
