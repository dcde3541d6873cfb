"""One daemon a bin: two of them would fight for the serial line and the journal."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from bin_daemon.errors import ConfigError

_SICK_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
"""Not worth standing still for: the bin sorts without a disk."""


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` (made with its folders); the kernel frees it, also after a kill -9. ConfigError when held.

    On a full or read-only disk an existing file serves; where there is none, the daemon runs without a lock.
    """
    descriptor = _opened(path)
    if descriptor is None:
        yield
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            raise ConfigError(
                f"{path}: another bin-daemon runs (pid {holder or 'unknown'})",
                hint="Stop it first: systemctl stop bin-daemon; or give this one a service.state_dir of its own.",
            ) from error
        with contextlib.suppress(OSError):  # the number is for people only; a full disk takes none
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        if error.errno not in _SICK_DISK:
            raise ConfigError(
                f"{path}: {error.strerror}", hint="Make service.state_dir a folder that the daemon's user may write to."
            ) from error
        why = str(error)
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        structlog.get_logger().warning("no lock file on this disk, going on without", file=str(path), why=why)
        return None
