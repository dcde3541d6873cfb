"""From a checkpoint to a bundle: into the model store, or into a folder of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from bin_daemon.errors import ConfigError, ModelError
from bin_daemon.model.bundle import BundleMetadata, Preprocessing, write_bundle
from bin_daemon.model.importing.checkpoint import Checkpoint, read_checkpoint
from bin_daemon.model.importing.class_names import choose_labels
from bin_daemon.model.store import put

if TYPE_CHECKING:
    from collections.abc import Callable

    from bin_daemon.model.bundle import Bundle, LabelInfo

DIGEST_CHARACTERS = 8
UNKNOWN_LICENCE = "unknown"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the import found and chose, for people; told before anything is written."""

    checkpoint: Checkpoint
    labels: tuple[LabelInfo, ...]
    labels_reason: str
    preprocessing: Preprocessing
    preprocessing_reason: str


def import_checkpoint(
    path: Path,
    out: Path | None,
    state_dir: Path,
    *,
    labels: Path | None = None,
    norm_eps: str | None = None,
    card_preprocessing: bool = False,
    bundle_id: str = "",
    name: str = "",
    source: str = "",
    licence: str = UNKNOWN_LICENCE,
    on_chosen: Callable[[Chosen], None] = lambda _chosen: None,
) -> Bundle:
    """Write the checkpoint at ``path`` (file or folder) as a bundle and give it back checked.

    ``out`` becomes the bundle and must not exist or be an empty folder; None: the model store of ``state_dir``. ``labels`` is
    a CSV table or ``classname.txt``. ``source`` says where the file comes from (hub, id, revision). The active model stays.

    Raises:
        ModelError: As `read_checkpoint`; no label for each output; a full disk. Nothing is left behind then.
        ConfigError: ``out`` is in use, or ``bundle_id`` is no id.
    """
    if out is not None:
        check_free(out)
    checkpoint = read_checkpoint(path, norm_eps=norm_eps, card_preprocessing=card_preprocessing)
    chosen = _choose(checkpoint, labels)
    metadata = _describe(chosen, bundle_id, name, "; ".join(x for x in (source, checkpoint.source) if x), licence)
    on_chosen(chosen)
    if out is None:
        return put(metadata, checkpoint.weights, state_dir)
    return write_bundle(out, metadata, checkpoint.weights)


def check_free(out: Path) -> None:
    """ConfigError when ``out`` is anything but a folder to be made, or an empty one."""
    try:
        taken = out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir())))
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror}", hint="name a folder that can be made") from None
    if taken:
        raise ConfigError(f"--out {out}: it exists and is not an empty folder", hint="name a new or empty folder")


def _choose(checkpoint: Checkpoint, labels: Path | None) -> Chosen:
    place = str(checkpoint.file)
    if checkpoint.outputs == 0:
        raise ModelError(
            f"{place}: a backbone without its last layer",
            hint="import a whole classifier, or train one from this: `bin-daemon train --from FILE`",
        )
    found, how = choose_labels(place, checkpoint.class_names, checkpoint.outputs, labels)
    preprocessing = checkpoint.preprocessing or Preprocessing()
    return Chosen(checkpoint, found, how, preprocessing, checkpoint.preprocessing_reason)


def _describe(chosen: Chosen, bundle_id: str, name: str, source: str, licence: str) -> BundleMetadata:
    try:
        return BundleMetadata(
            id=bundle_id or _default_id(chosen),
            name=name,
            architecture=chosen.checkpoint.architecture,
            labels=chosen.labels,
            preprocessing=chosen.preprocessing,
            source=source,
            licence=licence,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = str(first["loc"][0]) if first["loc"] else ""
        if key == "id":
            raise ConfigError(
                f"--id {bundle_id!r}: not a name for a model",
                hint="letters, digits, dots, dashes and underscores; a letter or digit first; 64 at most",
            ) from None
        raise ModelError(f"{chosen.checkpoint.file}: {key}: {first['msg']}", hint="give other labels") from None


def _default_id(chosen: Chosen) -> str:
    """Such as convnext-base-265-1f8ac10f: architecture, labels, and the file's digest."""
    checkpoint = chosen.checkpoint
    size = re.sub(r"[^a-z0-9]+", "-", checkpoint.architecture.name)
    return f"{size}-{len(chosen.labels)}-{checkpoint.sha256[:DIGEST_CHARACTERS]}"
