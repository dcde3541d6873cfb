"""Checkpoints of a training: whole or not there. Written beside, synced, renamed; the name holds the content's digest.

A kill or power cut at any moment leaves the checkpoint before; so does a full disk. A damaged one is known by its digest and the
one before it is taken. Loaded with ``weights_only``: a checkpoint holds plain values and tensors and can run nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bin_daemon.errors import ModelError
from bin_daemon.model.durable import sync
from bin_daemon.model.weights import sha256_of

if TYPE_CHECKING:
    import torch

KEPT = 2
"""The newest, and one to fall back to."""
DIGITS = 16
NAME = re.compile(rf"checkpoint-(\d{{8,}})-([0-9a-f]{{{DIGITS}}})\.pt")
BEST = re.compile(rf"best-([0-9a-f]{{{DIGITS}}})\.safetensors")
PARTIAL = ".partial"


def write_checkpoint(folder: Path, step: int, state: Mapping[str, Any]) -> Path:
    """Write ``state`` as the newest checkpoint and prune older ones; OSError, with the older ones untouched, when it cannot."""
    import torch

    def save(file: Path) -> None:
        with file.open("wb") as stream:
            watched = _Watched(stream)
            try:
                torch.save(dict(state), watched)  # type: ignore[arg-type] # write and flush are all it uses
            except RuntimeError:
                if watched.failure:  # torch hides the full disk behind an assertion of its own
                    raise watched.failure from None
                raise

    path = _write(folder, save, lambda digest: f"checkpoint-{step:08d}-{digest}.pt")
    # What claims to be as new or newer was passed over when this training was resumed: it is damaged.
    older = [x for x in listed(folder) if _step(x) < step]
    for file in {*listed(folder)} - {path, *older[: KEPT - 1]}:
        file.unlink(missing_ok=True)
    return path


def write_best(folder: Path, weights: Mapping[str, torch.Tensor], about: Mapping[str, str]) -> str:
    """Write weights that a checkpoint will refer to, with text about them; the file's name. OSError when it cannot."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    def save(file: Path) -> None:
        try:
            save_file({k: v.contiguous() for k, v in weights.items()}, str(file), metadata=dict(about))
        except SafetensorError as error:
            raise OSError(str(error)) from None

    return _write(folder, save, lambda digest: f"best-{digest}.safetensors").name


def read_best(file: Path) -> dict[str, torch.Tensor]:
    """The weights of `write_best`; ModelError when they are gone or damaged."""
    from safetensors.torch import load_file

    found = BEST.fullmatch(file.name)
    if found is None or not sha256_of(file).startswith(found[1]):
        raise ModelError(f"{file}: was damaged", hint=_HINT)
    return load_file(file)


def read_latest(folder: Path, warn: Callable[[str], None]) -> tuple[dict[str, Any], dict[str, torch.Tensor]] | None:
    """The newest whole checkpoint and the best weights it refers to; None where there is none.

    Raises:
        ModelError: There are checkpoints, and all are damaged.
    """
    files = listed(folder)
    for file in files:
        try:
            state = _read(file)
            return state, read_best(folder / state["best"]) if state["best"] else {}
        except ModelError as error:  # noqa: PERF203 - two files at most
            warn(f"{error}; it is passed over for the checkpoint before it")
    if files:
        raise ModelError(f"{folder}: none of {len(files)} checkpoints is whole", hint="begin again with --restart")
    return None


def listed(folder: Path) -> list[Path]:
    """Checkpoints, newest first."""
    return sorted((x for x in folder.glob("checkpoint-*.pt") if NAME.fullmatch(x.name)), key=_step, reverse=True)


def tidy(folder: Path, best: set[str]) -> None:
    """Remove what a kill left half-written, and best weights other than ``best``."""
    for file in folder.iterdir():
        if file.name.endswith(PARTIAL) or (BEST.fullmatch(file.name) and file.name not in best):
            file.unlink(missing_ok=True)


_HINT = "it is left out; the one before it is taken where there is one"


def _step(file: Path) -> int:
    found = NAME.fullmatch(file.name)
    return int(found[1]) if found else -1


def _read(file: Path) -> dict[str, Any]:
    import torch

    found = NAME.fullmatch(file.name)
    if found is None or not sha256_of(file).startswith(found[2]):
        raise ModelError(f"{file}: was damaged", hint=_HINT)
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError) as error:
        raise ModelError(f"{file}: {str(error).splitlines()[0]}", hint=_HINT) from None
    return state


def _write(folder: Path, save: Callable[[Path], None], name: Callable[[str], str]) -> Path:
    partial = folder / f"new{PARTIAL}"
    try:
        save(partial)
        sync(partial)
        path = folder / name(_digest(partial))
        partial.replace(path)
        sync(folder)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    return path


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        digest = hashlib.sha256()
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()[:DIGITS]


class _Watched:
    """A file that remembers why it could not be written."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.failure: OSError | None = None

    def write(self, content: bytes) -> int:
        try:
            return int(self._stream.write(content))
        except OSError as error:
            self.failure = self.failure or error
            raise

    def flush(self) -> None:
        self._stream.flush()
