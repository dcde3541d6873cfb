"""Nothing may be left behind: no thread, no open file."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bin_daemon.sim import register_serial


def open_files() -> int:
    """How many file descriptors this process holds."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture(scope="session", autouse=True)
def sim_url() -> None:
    """``sim://`` is known to pyserial."""
    register_serial()


@pytest.fixture(autouse=True)
def leaves_nothing() -> Iterator[None]:
    """Threads and files are the same in number before and after each test."""
    threads, files = set(threading.enumerate()), open_files()
    yield
    end = time.monotonic() + 5.0
    while (left := set(threading.enumerate()) - threads) and time.monotonic() < end:
        next(iter(left)).join(0.1)
    assert not left
    assert open_files() <= files
