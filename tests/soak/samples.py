"""What a process holds at one moment, and whether it grows.

Memory is the anonymous part of the resident set (``RssAnon``): what was allocated, without pages of libraries and database files
that are merely mapped. Before each sample garbage is collected and malloc gives free pages back from all its arenas, for a leak
could hide in what a busy moment left behind. Growth is the slope of Theil and Sen (the median of all pairs' slopes) over the
samples after the warm-up, times the frames of the run: a leak grows all the way, and one late page of a cache moves no median.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import itertools
import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

GROWTH_BYTES = 1_000_000
"""Over a whole run."""
TYPES_TOLD = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """After so many frames: bytes, Python's allocated blocks, open files, threads, and what waits anywhere."""

    frames: int
    anonymous_bytes: int
    blocks: int
    files: int
    threads: int
    waiting: int = 0


def take(frames: int, waiting: int = 0) -> Sample:
    """Of this process, now."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # musl has none
        ctypes.CDLL(None).malloc_trim(0)
    me = psutil.Process()
    return Sample(frames, _anonymous_bytes(me), sys.getallocatedblocks(), me.num_fds(), me.num_threads(), waiting)


def _anonymous_bytes(me: psutil.Process) -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return int(me.memory_info().rss)


def growth_bytes(samples: Sequence[Sample]) -> float:
    """From the first sample to the last, by the median slope."""
    slopes = [
        (b.anonymous_bytes - a.anonymous_bytes) / (b.frames - a.frames) for a, b in itertools.combinations(samples, 2)
    ]
    return statistics.median(slopes) * (samples[-1].frames - samples[0].frames)


def complaints(name: str, samples: Sequence[Sample], before: Counter[str], after: Counter[str]) -> list[str]:
    """What grew, one line each; ``before`` and ``after`` count the objects of each type at the first and the last sample."""
    first, last = samples[0], samples[-1]
    found = []
    grown = growth_bytes(samples)
    if grown > GROWTH_BYTES:
        more = ", ".join(f"{number:+,} {kind}" for kind, number in (after - before).most_common(TYPES_TOLD))
        found.append(
            f"{name}: memory grew by {grown / 1e6:.2f} MB over {last.frames - first.frames:,} frames "
            f"({last.blocks - first.blocks:+,} blocks of Python's; objects: {more or 'none that gc knows'})"
        )
    for what in ("files", "threads", "waiting"):
        begun, ended = getattr(first, what), getattr(last, what)
        if ended > begun:
            found.append(f"{name}: {what} grew from {begun} to {ended}")
    return found


def types() -> Counter[str]:
    """How many objects of each type the garbage collector knows."""
    gc.collect()
    return Counter(type(x).__qualname__ for x in gc.get_objects())
