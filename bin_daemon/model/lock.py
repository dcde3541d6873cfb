"""One command at a time in a folder: a lock that the kernel frees, also after a kill -9, and that leaves no file behind."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bin_daemon.errors import UnreachableError


@contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock on ``folder``, which exists. UnreachableError (try again later) when another process holds it, or wait."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    except BlockingIOError:
        raise UnreachableError(
            f"{folder}: another bin-daemon model command is at work here",
            hint="wait until it has ended, then try again",
        ) from None
    finally:
        os.close(descriptor)
