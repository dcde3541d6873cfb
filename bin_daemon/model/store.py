"""The model store: bundles under ``STATE_DIR/models`` and a pointer to the active one.

The pointer changes last and atomically, so a bad new bundle, a full disk or a power cut leaves the old model active. What is
being written or removed has a name that begins with a dot; whoever changes the store next clears away what a power cut left.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bin_daemon.errors import ModelError
from bin_daemon.model.bundle import METADATA_FILE, read_bundle, write_bundle
from bin_daemon.model.durable import sync
from bin_daemon.model.lock import locked
from bin_daemon.model.pointer import NAME_PATTERN, POINTER_FILE, forget, point_back, point_to, read_pointer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from bin_daemon.config.settings import ModelSettings
    from bin_daemon.model.bundle import Bundle, BundleMetadata

NEW_PREFIX, OLD_PREFIX = ".new.", ".old."
"""Of folders that are being written and removed: no name of a bundle begins with a dot."""


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
            hint="bin-daemon model activate ID|DIR activates one, or set model.bundle in the config",
        )
    return path


def active_bundle(state_dir: Path) -> Path | None:
    """The active bundle's folder, None when nothing was ever activated; ModelError when the pointer is damaged."""
    pointer = read_pointer(models_dir(state_dir))
    return None if pointer is None else models_dir(state_dir) / pointer.active


def put(metadata: BundleMetadata, weights: Mapping[str, NDArray[np.generic]], state_dir: Path) -> Bundle:
    """Write a new bundle into the store (`write_bundle`'s arguments) and give it back checked; it is not activated.

    Its folder's name is made from its content: the same content twice is one folder. Nothing else in the store is touched.
    ModelError when it cannot be written; nothing is left then. Waits while another command works on the store.
    """
    with _changing(state_dir, wait=True) as store:
        temporary = Path(tempfile.mkdtemp(prefix=NEW_PREFIX, dir=store))
        written = write_bundle(temporary / metadata.id, metadata, weights)
        target = store / folder_name(written.metadata)
        if not _is_sound(target, store):
            written.path.rename(target)
            sync(store)
        return read_bundle(target)


def activate(
    path: Path,
    state_dir: Path,
    settings: ModelSettings | None = None,
    on_export: Callable[[float], None] = lambda _longest_s: None,
) -> Path:
    """Make the bundle in folder ``path`` the active one: check, copy into the store, export, run once, then switch.

    ``settings`` say on which engine and with which site rules; None: the defaults. ``on_export`` is told before an export,
    with the longest time that may take, seconds. Returns the bundle's folder in the store. ModelError at the first thing
    wrong, ConfigError for a site rule that names no label of it; the old bundle then stays active. UnreachableError while
    another command works on the store.
    """
    with _changing(state_dir) as store:
        stored = _stored(read_bundle(path), store)
        _warm_up(stored.path, state_dir, settings, on_export)
        point_to(store, stored.path.name)
    return stored.path


def rollback(
    state_dir: Path,
    settings: ModelSettings | None = None,
    on_export: Callable[[float], None] = lambda _longest_s: None,
) -> Path:
    """Make active again what was active before, checked as `activate` does; doing it again goes back one more."""
    with _changing(state_dir) as store:
        pointer = read_pointer(store)
        if pointer is None or not pointer.previous:
            raise ModelError(
                f"{store}: no model was active before this one",
                hint="bin-daemon model list shows what there is; bin-daemon model activate ID switches",
            )
        path = store / pointer.previous[0]
        _warm_up(path, state_dir, settings, on_export)
        point_back(store)
    return path


def remove(path: Path, state_dir: Path, *, in_use: Path | None = None, force: bool = False) -> None:
    """Remove the bundle in folder ``path`` of the store, sound or damaged; a power cut leaves it whole or gone.

    ModelError when it is active, is ``in_use`` (``model.bundle`` of the settings), or, without ``force``, is what
    `rollback` would go to.
    """
    with _changing(state_dir) as store:
        pointer = read_pointer(store)
        path = Path(os.path.normpath(path.absolute()))  # STORE/.. has the store as its parent, but only by its words
        if path.parent.resolve() != store.resolve() or not path.is_dir():
            raise ModelError(f"{path} is no model of {store}", hint="bin-daemon model list shows what there is")
        if pointer and path.name == pointer.active:
            raise ModelError(
                f"{path.name} is the active model", hint="activate another first: bin-daemon model activate ID"
            )
        if in_use and in_use.resolve() == path.resolve():
            raise ModelError(f"{path.name} is model.bundle of the config", hint="change the config first")
        if pointer and not force and path.name in pointer.previous[:1]:
            raise ModelError(
                f"{path.name} is what bin-daemon model rollback goes back to", hint="--force removes it all the same"
            )
        forget(store, path.name)
        _discard(path, store)


def folder_name(metadata: BundleMetadata) -> str:
    """A bundle's folder in the store: its id and a digest of all that it says but the time when it was made."""
    content = metadata.model_dump(mode="json", exclude={"created"})
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return f"{metadata.id}-{digest[:12]}"


@contextmanager
def _changing(state_dir: Path, *, wait: bool = False) -> Iterator[Path]:
    """The store, locked and cleared of what a power cut left, before and after; OSError becomes ModelError."""
    store = models_dir(state_dir)
    try:
        store.mkdir(parents=True, exist_ok=True)
        with locked(store, wait=wait):
            _clear_leftovers(store)
            try:
                yield store
            finally:
                _clear_leftovers(store)
    except OSError as error:
        where = error.filename or store
        raise ModelError(
            f"{where}: {error.strerror}", hint="check free space and permissions of the state directory"
        ) from None


def _clear_leftovers(store: Path) -> None:
    """Only under the lock: nobody else is writing these."""
    for prefix in (NEW_PREFIX, OLD_PREFIX):
        for folder in store.glob(f"{prefix}*"):
            shutil.rmtree(folder, ignore_errors=True)
    for file in store.glob(f".{POINTER_FILE}.*"):
        file.unlink(missing_ok=True)


def _stored(bundle: Bundle, store: Path) -> Bundle:
    """The bundle inside the store, copied there unless it is there already. Its name tells its content."""
    if bundle.path.parent.resolve() == store.resolve() and re.match(NAME_PATTERN, bundle.path.name):
        return bundle
    target = store / folder_name(bundle.metadata)
    if not _is_sound(target, store):
        temporary = Path(tempfile.mkdtemp(prefix=NEW_PREFIX, dir=store))
        for file in bundle.path.iterdir():
            if file.is_file() and (file.name == METADATA_FILE or file.name.startswith("model.")):
                _copy(file, temporary / file.name)
        temporary.chmod(0o755)
        read_bundle(temporary)  # the copy may have met a bad disk
        sync(temporary)
        temporary.rename(target)
        sync(store)
    return read_bundle(target)


def _is_sound(target: Path, store: Path) -> bool:
    """Whether the bundle is there and good; a damaged one makes way, for it is about to be replaced by the same, whole."""
    if not target.exists():
        return False
    try:
        read_bundle(target)
    except ModelError:
        _discard(target, store)
        return False
    return True


def _discard(path: Path, store: Path) -> None:
    """Renamed aside first: half of a bundle never bears its name."""
    aside = Path(tempfile.mkdtemp(prefix=OLD_PREFIX, dir=store))
    path.rename(aside / path.name)
    sync(store)
    shutil.rmtree(aside, ignore_errors=True)


def _warm_up(path: Path, state_dir: Path, settings: ModelSettings | None, on_export: Callable[[float], None]) -> None:
    """Open it exactly as the daemon will, site rules included, and judge a grey picture; exported where its engine needs that."""
    from bin_daemon.config.settings import ModelSettings
    from bin_daemon.model.classify import open_as_configured

    open_as_configured(path, settings or ModelSettings(), state_dir, on_export).warm_up()


def _copy(source: Path, target: Path) -> None:
    """Content alone, readable for the daemon's user whatever the rights were on the stick it came from; synced."""
    shutil.copyfile(source, target)
    target.chmod(0o644)
    sync(target)
