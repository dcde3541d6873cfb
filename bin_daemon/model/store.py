"""The model store: bundles under ``STATE_DIR/models`` and a pointer to the active one.

The pointer changes last and atomically, so a bad new bundle, a full disk or a power cut leaves the old model active.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bin_daemon.errors import ModelError
from bin_daemon.model.bundle import read_bundle, sync_folder, write_bundle, write_durably
from bin_daemon.model.onnx_file import ensure_onnx

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from bin_daemon.config.settings import ModelSettings
    from bin_daemon.model.bundle import Bundle, BundleMetadata

POINTER_FILE = "active.json"
NEW_PREFIX = ".new."
"""Of folders that are still being written: no name of a bundle begins with a dot."""


class _Pointer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    active: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Folder name in the store."""
    previous: str | None = None
    """What was active before; for going back."""


def models_dir(state_dir: Path) -> Path:
    """Where the store lies."""
    return state_dir / "models"


def resolve_bundle(settings: ModelSettings, state_dir: Path) -> Path:
    """The bundle folder that the settings ask for: ``model.bundle``, else the active one; ModelError when there is none."""
    if settings.bundle is not None:
        return settings.bundle
    path = active_bundle(state_dir)
    if path is None:
        raise ModelError(
            f"no active model in {models_dir(state_dir)} and model.bundle is not set",
            hint="set model.bundle in the config to the folder of a bundle",
        )
    return path


def active_bundle(state_dir: Path) -> Path | None:
    """The active bundle's folder, None when nothing was ever activated; ModelError when the pointer is damaged."""
    pointer = _read_pointer(models_dir(state_dir))
    return None if pointer is None else models_dir(state_dir) / pointer.active


def activate(path: Path, state_dir: Path) -> Path:
    """Make the bundle in folder ``path`` the active one: check, copy into the store, export to ONNX, then switch.

    Returns its folder in the store. Raises ModelError at the first thing wrong; the old bundle then stays active.
    """
    bundle = read_bundle(path)
    store = models_dir(state_dir)
    try:
        store.mkdir(parents=True, exist_ok=True)
        stored = _stored(bundle, store)
        ensure_onnx(stored)
        _switch(store, stored.path.name)
    except OSError as error:
        raise ModelError(
            f"{store}: {error.strerror}", hint="check free space and permissions of the state directory"
        ) from None
    return stored.path


def put(metadata: BundleMetadata, weights: Mapping[str, NDArray[np.generic]], state_dir: Path) -> Bundle:
    """Write a new bundle into the store (`write_bundle`'s arguments) and give it back checked; it is not activated.

    Its folder's name is made from its content: the same content twice is one folder. Nothing that is in the store is touched.
    ModelError when it cannot be written; nothing is left then.
    """
    store = models_dir(state_dir)
    try:
        store.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=NEW_PREFIX, dir=store))
        try:
            written = write_bundle(temporary / metadata.id, metadata, weights)
            return _stored(written, store)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise ModelError(
            f"{store}: {error.strerror}", hint="check free space and permissions of the state directory"
        ) from None


def folder_name(metadata: BundleMetadata) -> str:
    """A bundle's folder in the store: its id and a digest of all that it says but the time when it was made."""
    content = metadata.model_dump(mode="json", exclude={"created"})
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return f"{metadata.id}-{digest[:12]}"


def _stored(bundle: Bundle, store: Path) -> Bundle:
    """The bundle inside the store, copied there unless it is there already. Its name tells its content."""
    target = store / folder_name(bundle.metadata)
    if target.exists():
        try:
            return read_bundle(target)
        except ModelError:  # damaged since: the good one takes its place
            shutil.rmtree(target)
    temporary = Path(tempfile.mkdtemp(prefix=NEW_PREFIX, dir=store))
    try:
        shutil.copytree(bundle.path, temporary, dirs_exist_ok=True)
        temporary.chmod(0o755)
        read_bundle(temporary)  # the copy may have met a bad disk
        for file in temporary.iterdir():
            _sync_file(file)
        sync_folder(temporary)
        temporary.rename(target)
        sync_folder(store)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return read_bundle(target)


def _switch(store: Path, name: str) -> None:
    old = _read_pointer(store, damaged_ok=True)
    if old is not None and old.active == name:
        return
    pointer = _Pointer(active=name, previous=old.active if old else None)
    temporary = store / f".{POINTER_FILE}.{os.getpid()}"
    write_durably(temporary, json.dumps(pointer.model_dump(), indent=1).encode() + b"\n")
    temporary.replace(store / POINTER_FILE)
    sync_folder(store)


def _read_pointer(store: Path, *, damaged_ok: bool = False) -> _Pointer | None:
    file = store / POINTER_FILE
    try:
        return _Pointer.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(f"{file}: {error.strerror}", hint="check permissions of the state directory") from None
    except ValidationError as error:
        if damaged_ok:
            return None
        raise ModelError(
            f"{file}: damaged: {error.errors()[0]['msg']}", hint="remove it and set model.bundle in the config"
        ) from None


def _sync_file(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
