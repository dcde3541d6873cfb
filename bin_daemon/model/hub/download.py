"""One file from the hub into a folder: goes on where it stopped, and bears its name only once its digest is right.

The unfinished file is ``NAME.DIGEST.part``: another content of the hub's never continues it. What decides is the digest at the
end, so that neither ETag nor date is needed, and a part that a power cut spoilt is found out and fetched anew.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from urllib3.exceptions import MaxRetryError, ProtocolError

from bin_daemon.errors import ModelError
from bin_daemon.model.durable import sync
from bin_daemon.model.hub.client import HTTP_NOTHING_THERE, HTTP_PARTIAL, Hub, HubFile
from bin_daemon.model.weights import sha256_of

CHUNK_BYTES = 1 << 14
"""What a connection that breaks may lose: a poor link must get on all the same."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

OnBytes = Callable[[int], None]
"""Told how many bytes of the file are there; less than before when it starts again."""


def fetch(hub: Hub, file: HubFile, folder: Path, on_bytes: OnBytes = lambda _: None) -> Path:
    """Download ``file`` into ``folder`` (which exists) unless it is there already; its path.

    UnreachableError when the connection fails too often: what came stays, and the next call goes on. ModelError when the
    content is not what the listing says, or the disk is full (then the part is removed: the bin needs the space more).
    """
    target = folder / file.path
    if _is_whole(target, file):
        on_bytes(file.size_bytes)
        return target
    part = part_of(target, file)
    resumed = _size(part) > 0
    if _received(hub, file, part, on_bytes) != file.sha256 and file.sha256:
        part.unlink()
        if not resumed or _received(hub, file, part, on_bytes) != file.sha256:
            part.unlink(missing_ok=True)
            raise ModelError(
                f"{hub.page}: {file.path}: sha256 is not what the hub's listing says ({file.sha256[:16]}...)",
                hint="the file was changed on the way or at the hub; try again, or another --revision",
            )
    part.replace(target)
    sync(folder)
    return target


def part_of(target: Path, file: HubFile) -> Path:
    """Where the unfinished file lies."""
    return target.with_name(f"{target.name}.{file.sha256[:12] or 'nodigest'}.part")


def missing_bytes(file: HubFile, folder: Path) -> int:
    """How many bytes of ``file`` are still to come; as far as sizes tell."""
    target = folder / file.path
    there = _size(target) if _size(target) == file.size_bytes else min(_size(part_of(target, file)), file.size_bytes)
    return file.size_bytes - there


def _received(hub: Hub, file: HubFile, part: Path, on_bytes: OnBytes) -> str:
    """Fill ``part`` to the listed size, over as many connections as it takes; the content's digest."""
    if not file.sha256:
        part.unlink(missing_ok=True)  # nothing could tell whether its beginning and the rest belong together
    budget, most = hub.retry, _size(part)
    while (have := _size(part)) != file.size_bytes or not part.exists():
        if have > file.size_bytes:
            part.unlink()
            continue
        try:
            _stream(hub, file, part, have, on_bytes)
            if _size(part) == file.size_bytes:
                break
            error: requests.RequestException = requests.ConnectionError("the connection ended early")
        except requests.RequestException as caught:
            error = caught
        if _size(part) > most:  # it moves: only standing still uses patience up
            budget, most = hub.retry, _size(part)
        try:
            budget = budget.increment("GET", "", error=ProtocolError(str(error)))
        except MaxRetryError:
            raise hub.explained(error) from None
        budget.sleep()
    return sha256_of(part)


def _stream(hub: Hub, file: HubFile, part: Path, have: int, on_bytes: OnBytes) -> None:
    """One connection's worth."""
    with hub.open(file, have) as answer:
        start = _start(answer)
        if answer.status_code == HTTP_NOTHING_THERE or start not in {0, have}:
            part.unlink(missing_ok=True)
            raise requests.ConnectionError(f"asked for bytes from {have} on, the server has none")
        announced = answer.headers.get("Content-Length", "")
        if announced.isdecimal() and not answer.headers.get("Content-Encoding"):
            _check_size(hub, file, part, start + int(announced))
        with _disk(part, file), part.open("r+b" if start else "wb") as stream:
            stream.seek(start)
            for chunk in answer.iter_content(CHUNK_BYTES):
                stream.write(chunk)
                on_bytes(stream.tell())
                if stream.tell() > file.size_bytes:
                    _check_size(hub, file, part, stream.tell())
            stream.flush()
            os.fsync(stream.fileno())


def _start(answer: requests.Response) -> int:
    """The first byte's place in the file: a server that ignores Range begins at 0. -1 where the answer does not tell."""
    if answer.status_code != HTTP_PARTIAL:
        return 0
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
    return int(found[1]) if found else -1


def _check_size(hub: Hub, file: HubFile, part: Path, found: int) -> None:
    if found != file.size_bytes:
        part.unlink(missing_ok=True)
        raise ModelError(
            f"{hub.page}: {file.path}: the server sends {found} bytes, the hub's listing says {file.size_bytes}",
            hint="a proxy's page may stand in between, or the hub is being changed: try again, or another --revision",
        )


@contextmanager
def _disk(part: Path, file: HubFile) -> Iterator[None]:
    """Errors of the disk as ours; those of the network are OSErrors too, and pass."""
    try:
        yield
    except requests.RequestException:
        raise
    except OSError as error:
        if error.errno in _FULL:
            part.unlink(missing_ok=True)
        raise ModelError(
            f"{part}: {error.strerror} (the file needs {file.size_bytes / 1e6:.1f} MB)",
            hint="make space, or name another disk with --out" if error.errno in _FULL else "check the folder's rights",
        ) from None


def _is_whole(target: Path, file: HubFile) -> bool:
    if not target.is_file() or _size(target) != file.size_bytes:
        return False
    return bool(file.sha256) and sha256_of(target) == file.sha256


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
