"""One daemon a bin: two of them would fight for the serial line and the journal."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bin_daemon.errors import ConfigError


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` (made with its folders); the kernel frees it, also after a kill -9. ConfigError when held."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}", hint="Make service.state_dir a folder that the daemon's user may write to."
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            raise ConfigError(
                f"{path}: another bin-daemon runs (pid {holder or 'unknown'})",
                hint="Stop it first: systemctl stop bin-daemon; or give this one a service.state_dir of its own.",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
