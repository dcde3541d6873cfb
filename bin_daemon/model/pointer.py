"""``active.json`` in the model store: which bundle is active, and which ones were before, for going back.

Written whole beside, synced, then renamed: a power cut leaves the old pointer or the new one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bin_daemon.errors import ModelError
from bin_daemon.model.durable import replace_durably

POINTER_FILE = "active.json"
HISTORY_MAX = 8
"""Going further back than this is a choice of its own: `model list` shows what there is."""

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
FolderName = Annotated[str, Field(pattern=NAME_PATTERN)]


class Pointer(BaseModel):
    """The store's state. Names are of folders in the store."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    active: FolderName
    previous: tuple[FolderName, ...] = ()
    """What was active before, newest first, each once."""

    @field_validator("previous", mode="before")
    @classmethod
    def _one_or_none(cls, value: object) -> object:
        """The first version held one name or null."""
        return [value] if isinstance(value, str) else value or ()


def read_pointer(store: Path, *, damaged_ok: bool = False) -> Pointer | None:
    """None when nothing was ever activated; ModelError when the file is damaged (None with ``damaged_ok``)."""
    file = store / POINTER_FILE
    try:
        return Pointer.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(f"{file}: {error.strerror}", hint="check permissions of the state directory") from None
    except ValidationError as error:
        if damaged_ok:
            return None
        raise ModelError(
            f"{file}: damaged: {error.errors()[0]['msg']}",
            hint="bin-daemon model activate ID mends it; bin-daemon model list shows what there is; "
            "or set model.bundle in the config",
        ) from None


def point_to(store: Path, name: str) -> None:
    """Make ``name`` the active one; what was active goes to the front of the history. A damaged pointer is replaced."""
    old = read_pointer(store, damaged_ok=True)
    if old is None:
        _write(store, Pointer(active=name))
    elif old.active != name:
        earlier = [x for x in (old.active, *old.previous) if x != name]
        _write(store, Pointer(active=name, previous=tuple(earlier[:HISTORY_MAX])))


def point_back(store: Path) -> None:
    """Make the newest of the history active and take it from there, so that doing it again goes back one more."""
    pointer = read_pointer(store)
    assert pointer and pointer.previous  # noqa: S101, PT018 - the caller has just looked, under the store's lock
    _write(store, Pointer(active=pointer.previous[0], previous=pointer.previous[1:]))


def forget(store: Path, name: str) -> None:
    """Take ``name`` from the history."""
    pointer = read_pointer(store)
    if pointer and name in pointer.previous:
        _write(store, Pointer(active=pointer.active, previous=tuple(x for x in pointer.previous if x != name)))


def _write(store: Path, pointer: Pointer) -> None:
    replace_durably(store / POINTER_FILE, pointer.model_dump_json(indent=1).encode() + b"\n")
