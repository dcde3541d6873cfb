"""What must survive a power cut: write, sync, and only then let a name or a pointer tell of it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_durably(file: Path, content: bytes) -> None:
    """Write and fsync; the caller renames and syncs the folder."""
    with file.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def replace_durably(file: Path, content: bytes, *, mode: int | None = None) -> None:
    """Put ``content`` in the place of ``file``, all or nothing, also over a power cut; ``mode`` in place of the umask's.

    Raises OSError and then leaves the old file, and nothing beside it.
    """
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        write_durably(fresh, content)
        if mode is not None:
            fresh.chmod(mode)
        fresh.replace(file)
    except OSError:
        with suppress(OSError):
            fresh.unlink()
        raise
    sync(file.parent)


def sync(path: Path) -> None:
    """Make a file's content, or the renames in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
