"""Weight files: safetensors only, checked by digest and by shape; nothing in them is ever executed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from bin_daemon.errors import ModelError
from bin_daemon.model.durable import sync

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from bin_daemon.model.architecture import ArchitectureInfo

CHUNK_BYTES = 1 << 20


def sha256_of(file: Path) -> str:
    """Hex digest of a file's content; ModelError when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise ModelError(f"{file}: {error.strerror}", hint="copy or make the bundle again") from None
    return digest.hexdigest()


def write_weights(file: Path, weights: Mapping[str, NDArray[np.generic]]) -> None:
    """Write arrays as safetensors and sync them to disk."""
    import numpy as np
    from safetensors.numpy import save_file

    save_file({name: np.asarray(array, order="C") for name, array in weights.items()}, str(file))
    file.chmod(0o644)  # safetensors makes it 0600: a bundle made by root must be readable by the daemon's own user
    sync(file)


def read_weights(file: Path) -> dict[str, NDArray[np.generic]]:
    """All arrays of a safetensors file; ModelError when it is not one or holds a value that is not finite."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        weights: dict[str, NDArray[np.generic]] = load_file(str(file))
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise _unreadable(file, error) from None
    check_finite(file, weights)
    return weights


def check_finite(file: Path, weights: Mapping[str, NDArray[np.generic]]) -> None:
    """ModelError when a float tensor holds NaN or infinity: such a network calls every item the same."""
    import numpy as np

    for name, array in weights.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ModelError(f"{file}: {name} holds NaN or infinity", hint="train or make the bundle again")


def check_shapes(file: Path, architecture: ArchitectureInfo, labels: int) -> None:
    """Check from the header alone that the file is safetensors and its last layer has one row for each label."""
    from safetensors import SafetensorError, safe_open

    key = f"{architecture.head_key}.weight"
    try:
        with safe_open(str(file), framework="numpy") as weights:
            if key not in weights.keys():  # noqa: SIM118 - not a mapping
                raise ModelError(
                    f"{file}: no tensor {key}: not weights of {architecture.name}", hint="make the bundle again"
                )
            rows = weights.get_slice(key).get_shape()[0]
    except (SafetensorError, OSError) as error:
        raise _unreadable(file, error) from None
    if rows != labels:
        raise ModelError(
            f"{file}: {key} has {rows} rows, bundle.json has {labels} labels",
            hint="the labels must be those that the model was trained with, in its order",
        )


def _unreadable(file: Path, error: Exception) -> ModelError:
    return ModelError(f"{file}: not a readable safetensors file ({error})", hint="convert or make the bundle again")
