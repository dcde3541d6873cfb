"""What the model store holds, sound or not, and which bundle a technician means by a word."""

from __future__ import annotations

import contextlib
import difflib
from dataclasses import dataclass
from pathlib import Path

from bin_daemon.errors import ModelError
from bin_daemon.model.bundle import METADATA_FILE, WEIGHTS_FILE, BundleMetadata, read_metadata
from bin_daemon.model.pointer import Pointer, read_pointer
from bin_daemon.model.weights import check_shapes


@dataclass(frozen=True, slots=True)
class StoredModel:
    """One bundle of the store, looked at quickly: `bin_daemon.model.verify` is what reads every byte."""

    path: Path
    metadata: BundleMetadata | None
    """None when it cannot be read."""
    size_bytes: int
    """On disk, exports included."""
    active: bool
    back_steps: int | None
    """How many rollbacks lead to it; None: none does."""
    damage: str
    """What is wrong with it; empty: nothing that a quick look shows."""

    @property
    def name(self) -> str:
        """The folder's name, by which commands call it."""
        return self.path.name


def list_bundles(store: Path) -> tuple[StoredModel, ...]:
    """Every bundle in the store, the damaged ones too, by name. Never raises for a damaged bundle, nor for a damaged pointer."""
    pointer = _pointer_if_readable(store)
    active = pointer.active if pointer else ""
    steps = {name: i for i, name in enumerate(pointer.previous if pointer else (), 1)}
    return tuple(_look(path, active, steps.get(path.name)) for path in _folders(store))


def downloads_dir(state_dir: Path) -> Path:
    """Where `bin-daemon model pull` keeps what it has not imported yet: a folder for each model and revision."""
    return state_dir / "downloads"


def list_downloads(state_dir: Path) -> tuple[tuple[Path, int], ...]:
    """Folders of interrupted downloads, or of models that could not be imported, each with its bytes on disk."""
    return tuple((x, _size_bytes(x)) for x in _folders(downloads_dir(state_dir)))


def find_bundle(store: Path, word: str) -> Path:
    """The bundle that ``word`` means: its folder's name, its id, or the beginning of either when only one begins so.

    ModelError with the nearest names when there is none or more than one.
    """
    names = _names(store)
    exact = [folder for folder, _ in names if folder == word]
    by_id = [folder for folder, bundle_id in names if bundle_id == word]
    begins = [folder for folder, _ in names if word and folder.startswith(word)]
    found = exact or by_id or begins
    if len(found) == 1:
        return store / found[0]
    if found:
        raise ModelError(f"{word!r} may mean {', '.join(found)}", hint="write one of these names whole")
    known = [folder for folder, _ in names]
    near = [x for x in known if any(difflib.get_close_matches(word, (x, x.rpartition("-")[0]), 1))]
    if not known:
        hint = "the store is empty: bin-daemon model pull or bin-daemon model import PATH fills it"
    elif near:
        hint = f"did you mean {', '.join(near[:3])}?"
    else:
        hint = f"there are {', '.join(known[:5])}{', ...' if len(known) > 5 else ''}"  # noqa: PLR2004 - one line
    raise ModelError(f"no model {word!r} in {store}", hint=hint)


def _names(store: Path) -> list[tuple[str, str]]:
    """Folder name and id of each bundle; the id is empty where it cannot be read."""
    return [(path.name, metadata.id if (metadata := _metadata(path)[0]) else "") for path in _folders(store)]


def _folders(store: Path) -> list[Path]:
    try:
        return sorted(x for x in store.iterdir() if x.is_dir() and not x.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ModelError(f"{store}: {error.strerror}", hint="check permissions of the state directory") from None


def _pointer_if_readable(store: Path) -> Pointer | None:
    try:
        return read_pointer(store)
    except ModelError:
        return None


def _look(path: Path, active: str, back_steps: int | None) -> StoredModel:
    metadata, damage = _metadata(path)
    if metadata is not None:
        damage = _weights_damage(path, metadata)
    return StoredModel(path, metadata, _size_bytes(path), path.name == active, back_steps, damage)


def _size_bytes(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # the daemon may be exporting just now
            total += file.lstat().st_size
    return total


def _metadata(path: Path) -> tuple[BundleMetadata | None, str]:
    try:
        return read_metadata(path), ""
    except ModelError as error:
        return None, str(error)


def _weights_damage(path: Path, metadata: BundleMetadata) -> str:
    if WEIGHTS_FILE not in metadata.sha256:
        return f"{path / METADATA_FILE}: sha256 has no entry for {WEIGHTS_FILE}"
    try:
        check_shapes(path / WEIGHTS_FILE, metadata.architecture, len(metadata.labels))
    except ModelError as error:
        return str(error)
    return ""
