"""Put exported files and their sidecar into a bundle, so that a power cut leaves the old or the new ones, and never a lie."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bin_daemon.errors import ModelError
from bin_daemon.model.durable import sync, write_durably
from bin_daemon.model.lock import locked
from bin_daemon.model.weights import sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bin_daemon.model.onnx_file import ExportInfo

    Put = Callable[[Path, Sequence[str], str, ExportInfo], None]

_PREFIX = ".export."


@contextmanager
def putting(bundle: Path) -> Iterator[tuple[Path, Put]]:
    """A working folder inside the bundle, and the function that puts files from there in place; the folder goes at the end.

    One export of a bundle at a time: others wait. What an interrupted one left behind is removed. ModelError for a bundle that
    cannot be written, or a full disk.
    """
    try:
        with locked(bundle, wait=True):
            for left_over in bundle.glob(f"{_PREFIX}*"):
                shutil.rmtree(left_over)
            with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=bundle) as folder:
                yield Path(folder), lambda source, names, sidecar, info: _put(source, bundle, names, sidecar, info)
    except OSError as error:
        raise ModelError(
            f"cannot export into {bundle}: {error.strerror or error}",
            hint="check free space, and that this user may write there; or copy the bundle to where it may",
        ) from None


def digests(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Digest of each of the files that is there."""
    return {name: sha256_of(folder / name) for name in names if (folder / name).exists()}


def _put(source: Path, bundle: Path, names: Sequence[str], sidecar: str, info: ExportInfo) -> None:
    """Rename each file; the sidecar comes last, so that a power cut in between shows as a digest that differs."""
    write_durably(source / sidecar, info.model_dump_json(indent=1).encode() + b"\n")
    for name in (*(x for x in names if (source / x).exists()), sidecar):
        (source / name).chmod(0o644)
        sync(source / name)
        (source / name).replace(bundle / name)
    sync(bundle)
