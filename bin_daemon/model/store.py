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
from bin_daemon.model.bundle import METADATA_FILE, read_bundle, sync_folder, write_durably
from bin_daemon.model.onnx_file import ensure_onnx

if TYPE_CHECKING:
    from bin_daemon.config.settings import ModelSettings
    from bin_daemon.model.bundle import Bundle

POINTER_FILE = "active.json"


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


def _stored(bundle: Bundle, store: Path) -> Bundle:
    """The bundle inside the store, copied there unless it is there already. Its name tells its content."""
    digest = hashlib.sha256((bundle.path / METADATA_FILE).read_bytes()).hexdigest()
    target = store / f"{bundle.metadata.id}-{digest[:12]}"
    if target.exists():
        try:
            return read_bundle(target)
        except ModelError:  # damaged since: the good one takes its place
            shutil.rmtree(target)
    temporary = Path(tempfile.mkdtemp(prefix=".new.", dir=store))
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
