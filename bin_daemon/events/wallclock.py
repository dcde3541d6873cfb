"""Whether the wall clock can be believed."""

from __future__ import annotations

import ctypes
import functools
import sys
import time

BUILT_UNIX_S = 1_767_225_600.0
"""2026-01-01: no bin with this software can run earlier."""
_TIMEX_BYTES = 512
"""Larger than struct timex on every Linux (208 bytes on 64 bit); all zero means: only read."""
_TIME_ERROR = 5
"""adjtimex(2): the kernel's word for a clock that nothing synchronises."""


def clock_is_synced() -> bool:
    """True when the kernel says that something (NTP, PTP) keeps the clock, and the year is possible."""
    if time.time() < BUILT_UNIX_S or not sys.platform.startswith("linux"):
        return False
    try:
        state = _libc().adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return False
    return state not in (-1, _TIME_ERROR)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
