"""Large blocks keep to themselves once asked to, whatever was freed before."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROBE = """
import json, sys
import numpy as np
from bin_daemon.model.heap import LARGE_BYTES, keep_large_blocks_apart

asked = keep_large_blocks_apart() if sys.argv[1] == "ask" else None
np.ones(30 << 20, np.uint8)  # freed at once: glibc now takes blocks of this size for common
block = np.ones(2 * LARGE_BYTES, np.uint8)
heap = next(x for x in open("/proc/self/maps") if "[heap]" in x).split()[0].split("-")
print(json.dumps([asked, int(heap[0], 16) <= block.ctypes.data < int(heap[1], 16)]))
"""


def _probe(word: str) -> list[bool | None]:
    done = subprocess.run([sys.executable, "-c", PROBE, word], stdout=subprocess.PIPE, check=True, timeout=60)
    found: list[bool | None] = json.loads(done.stdout)
    return found


def test_a_large_block_is_not_put_into_the_heap() -> None:
    """After a large block was freed, malloc puts the next one into the heap; not so when asked to keep them apart."""
    asked, in_heap = _probe("ask")
    if not asked:
        pytest.skip("this C library has no mallopt")
    assert not in_heap
    assert _probe("leave")[1], "the trap is gone: keep_large_blocks_apart may go as well"
