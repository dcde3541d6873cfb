"""What TensorRT built, kept in the state directory: ``engines/DIGEST``, where DIGEST tells network and ONNX Runtime.

A build takes minutes, and TensorRT ends the process on some broken files instead of saying so. Hence a list of digests beside
them, written last: a folder without a true one (a build that was cut off, a bad disk) is removed before TensorRT sees it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from pathlib import Path

from bin_daemon.errors import ModelError
from bin_daemon.model.durable import sync, write_durably
from bin_daemon.model.weights import sha256_of

LIST_FILE = "sha256.json"
KEPT = 2
"""The network that runs and the one before it, so that a rollback need not build for minutes."""
_DIGEST_CHARACTERS = 16


def engines_dir(state_dir: Path | None) -> Path:
    """Where the caches lie: in the daemon's state directory, or for a command without one in the user's cache folder."""
    if state_dir is None:
        import platformdirs

        state_dir = platformdirs.user_cache_path("bin-daemon")
    return state_dir / "engines"


def cache_folder(engines: Path, *identity: str) -> Path:
    """The folder of one network under ``engines``, made where missing and emptied where it is not whole any more.

    ``identity`` is all that a cache depends on. Of all folders the `KEPT` last used stay. ModelError when it cannot be written.
    """
    digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:_DIGEST_CHARACTERS]
    folder = engines / digest
    try:
        engines.mkdir(parents=True, exist_ok=True)
        if is_whole(folder):
            with contextlib.suppress(
                PermissionError
            ):  # a person's command may use the daemon's, and leaves it as it is
                os.utime(folder)
            return folder
        clear(folder)
        folder.mkdir()
        _remove_old(engines)
    except OSError as error:
        raise ModelError(
            f"{error.filename or folder}: {error.strerror}",
            hint="check free space and permissions of the state directory",
        ) from None
    return folder


def is_whole(folder: Path) -> bool:
    """Whether every file in it is what it was when it was sealed."""
    try:
        listed = json.loads((folder / LIST_FILE).read_bytes())
        return bool(listed) and listed == _digests(folder)
    except (OSError, ValueError, ModelError):
        return False


def seal(folder: Path) -> None:
    """Write down what lies in the folder; nothing is written where nothing changed. ModelError when it cannot be."""
    try:
        if not is_whole(folder):
            write_durably(folder / LIST_FILE, json.dumps(_digests(folder), indent=1).encode() + b"\n")
            sync(folder)
    except OSError as error:
        raise ModelError(
            f"{folder}: {error.strerror}", hint="check free space and permissions of the state directory"
        ) from None


def clear(folder: Path) -> None:
    """Remove a cache; it can be built again."""
    shutil.rmtree(folder, ignore_errors=True)


def _remove_old(engines: Path) -> None:
    by_use = sorted((x for x in engines.iterdir() if x.is_dir()), key=lambda x: x.stat().st_mtime_ns)
    for old in by_use[:-KEPT]:
        shutil.rmtree(old)


def _digests(folder: Path) -> dict[str, str]:
    return {x.name: sha256_of(x) for x in sorted(folder.iterdir()) if x.is_file() and x.name != LIST_FILE}
