"""Which of a model's files an import needs, whether the disk has room for them, and where they come from, for the bundle."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from bin_daemon.errors import ModelError
from bin_daemon.model.hub.client import Hub, HubFile
from bin_daemon.model.hub.download import fetch, missing_bytes
from bin_daemon.model.importing.locate import KNOWN_NAMES, SUFFIXES
from bin_daemon.model.lock import locked

DEFAULT_MODEL = "iic/cv_convnext-base_image-classification_garbage"
_REVISIONS = {DEFAULT_MODEL: "v1.0.2", DEFAULT_MODEL.replace("iic/", "damo/"): "v1.0.2"}
"""Of the models whose figures we know; the hub took damo's over under iic. Any other: the main branch, as the hub's client."""
BESIDE = re.compile(
    r"(configuration\.json|config\.json|readme(\.\w+)?|licen[cs]e(\.\w+)?|class_?names?\.txt|labels?\.txt)",
    re.IGNORECASE,
)
"""What an import reads or a licence is read from. Pictures, training lists and other formats stay at the hub."""
BESIDE_BYTES_MAX = 16 << 20
RESERVE_BYTES = 256 << 20
"""Stays free: the daemon's journal lies on the same disk."""

OnProgress = Callable[[HubFile, int], None]
"""Told which file, and how many bytes of it are there."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """What was downloaded."""

    folder: Path
    weights: Path
    source: str
    """Address, revision and the weights' digest: the bundle's ``source``."""
    licence: str
    """As the model's README states it, else 'unknown'."""


def default_revision(model_id: str) -> str:
    """The revision that is meant where none is named."""
    return _REVISIONS.get(model_id, "master")


def pull(
    hub: Hub, folder: Path, on_progress: OnProgress = lambda *_: None, *, weights: str | None = None, copies: int = 0
) -> Pulled:
    """Download what an import needs into ``folder``, going on where an earlier call stopped.

    ``weights`` names the file where the model has several. The disk must also have room for ``copies`` of the weights (a
    bundle, an export). ModelError or UnreachableError when that fails; what is whole stays, and parts for going on.
    """
    files = hub.files()
    chosen = choose_weights(files, weights)
    wanted = [*(x for x in files if BESIDE.fullmatch(x.path) and x.size_bytes <= BESIDE_BYTES_MAX), chosen]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            _check_room(folder, wanted, copies * chosen.size_bytes)
            for file in wanted:
                fetch(hub, file, folder, partial(on_progress, file))
    except OSError as error:
        raise ModelError(f"{folder}: {error.strerror}", hint="check free space and rights of the folder") from None
    return Pulled(
        folder=folder,
        weights=folder / chosen.path,
        source=f"{hub.page}, revision {hub.revision}, sha256 {chosen.sha256}",
        licence=stated_licence(folder),
    )


def choose_weights(files: tuple[HubFile, ...], name: str | None = None) -> HubFile:
    """The weights file: the one named, else the one that the hub's loaders take, else the only one; ModelError otherwise."""
    top = {x.path: x for x in files if len(PurePosixPath(x.path).parts) == 1 and not x.path.startswith(".")}
    found = [x for x in top if PurePosixPath(x).suffix.lower() in SUFFIXES]
    if name is None:
        name = next((x for x in KNOWN_NAMES if x in top), found[0] if len(found) == 1 else None)
    if name is None or name not in top:
        raise ModelError(
            f"the model has no weights file {name}" if name else f"the model has {len(found)} weights files",
            hint=f"name one with --weights: {', '.join(found[:8])}" if found else "is this a PyTorch model?",
        )
    if not top[name].sha256 or not top[name].size_bytes:
        raise ModelError(
            f"{name}: the hub's listing has no size or no sha256 for it: nothing could tell whether it arrives whole",
            hint="try another --revision",
        )
    return top[name]


def stated_licence(folder: Path) -> str:
    """The ``license`` of the README's front matter; 'unknown' where there is none."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "unknown"
    matter = re.match(r"\ufeff?---\s*\n(.*?)\n---\s*(\n|$)", text, re.DOTALL)
    stated = (
        re.search(r"^licen[cs]e:[ \t]*[\"']?([^\n\"'#\[{]+)", matter[1], re.MULTILINE | re.IGNORECASE)
        if matter
        else None
    )
    return stated[1].strip()[:200] if stated and stated[1].strip() else "unknown"


def _check_room(folder: Path, files: list[HubFile], further_bytes: int) -> None:
    missing = sum(missing_bytes(x, folder) for x in files)
    needed, free = missing + further_bytes + RESERVE_BYTES, shutil.disk_usage(folder).free
    if free < needed:
        parts = f"{missing / 1e6:.0f} MB to download, {further_bytes / 1e6:.0f} MB for the bundle made from it"
        raise ModelError(
            f"{folder}: {free / 1e6:.0f} MB are free, {needed / 1e6:.0f} MB are needed: {parts}, "
            f"{RESERVE_BYTES / 1e6:.0f} MB kept free",
            hint="make space (bin-daemon model remove ID), or name another disk with --out",
        )
