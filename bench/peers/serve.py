"""The other end of bench/peer.ts, for processes of Python."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path


def answer(result: dict) -> None:
    print(json.dumps(result), flush=True)


def requests() -> Iterator[dict]:
    return map(json.loads, sys.stdin)


def peak_bytes() -> int:
    """The largest memory of this process so far. getrusage's answer includes the parent's at the time of the fork."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", status)[1])
