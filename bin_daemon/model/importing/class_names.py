"""What each output of a checkpoint means: by its own class names, by a file, or, with 265 outputs, by the card's list."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bin_daemon.domain import Category
from bin_daemon.errors import ModelError
from bin_daemon.model.bundle import LabelInfo
from bin_daemon.model.taxonomy import COUNT, find_labels, labels265

if TYPE_CHECKING:
    from pathlib import Path

MAX_TABLE_BYTES = 4 << 20


def class_names(place: str, meta: Mapping[str, Any]) -> tuple[str, ...] | None:
    """``meta.CLASSES`` (mmcls) or ``meta.dataset_meta.classes`` (mmpretrain); None where there is neither."""
    inner = meta.get("dataset_meta")
    places = [meta, inner] if isinstance(inner, Mapping) else [meta]
    found = next((names for x in places for key in ("CLASSES", "classes") if (names := x.get(key))), None)
    if not found:
        return None
    if not isinstance(found, (list, tuple)) or not all(isinstance(x, str) and x.strip() for x in found):
        raise ModelError(f"{place}: its class names are not a list of names", hint="give them with --labels FILE")
    return tuple(x.strip() for x in found)


def choose_labels(
    place: str, names: tuple[str, ...] | None, outputs: int, file: Path | None
) -> tuple[tuple[LabelInfo, ...], str]:
    """A label for each output, and where they come from, for people. ModelError when names and outputs do not match."""
    if file is not None:
        labels, how = _from_file(file, names), f"from {file.name}"
    elif names is not None:
        labels, how = _known(place, names), "class names in the checkpoint"
    elif outputs == COUNT:
        labels, how = labels265(), f"none in the checkpoint: taken for the {COUNT} of the card, in its order"
    else:
        raise ModelError(
            f"{place}: {outputs} outputs and no class names", hint="give a CSV table label,category with --labels FILE"
        )
    if len(labels) != outputs:
        raise ModelError(
            f"{place}: {outputs} outputs, but {len(labels)} labels ({how})",
            hint="the labels must be those that the model was trained with, in its order",
        )
    return labels, how


def _known(place: str, names: tuple[str, ...]) -> tuple[LabelInfo, ...]:
    try:
        return find_labels(names)
    except ModelError as error:
        raise ModelError(f"{place}: {error}", hint=f"{error.hint}: --labels FILE") from None


def _from_file(file: Path, names: tuple[str, ...] | None) -> tuple[LabelInfo, ...]:
    """The file's labels in its order; where the checkpoint names its classes, in the checkpoint's order."""
    labels = _read(file)
    if names is None:
        return labels
    by_name = {x.label: x for x in labels}
    missing = next((i for i, x in enumerate(names) if x not in by_name), None)
    if missing is not None:
        raise ModelError(
            f"{file}: lacks the checkpoint's class {missing}, {names[missing]!r}",
            hint="add a row label,category for it",
        )
    return tuple(by_name[x] for x in names)


def _read(file: Path) -> tuple[LabelInfo, ...]:
    """A CSV table with a header label,category[,gloss], or one class name a line (``classname.txt``)."""
    try:
        if file.stat().st_size > MAX_TABLE_BYTES:
            raise ModelError(f"{file}: more than {MAX_TABLE_BYTES} bytes", hint="this is no list of labels")
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ModelError(f"{file}: {error.strerror}", hint=_FORM) from None
    except UnicodeDecodeError:
        raise ModelError(f"{file}: not UTF-8 text", hint=_FORM) from None
    header = [x.strip() for x in next(csv.reader(lines[:1]), [])]
    if "label" in header and "category" in header:
        return _unique(file, tuple(_row(file, i, row) for i, row in enumerate(csv.DictReader(lines), start=2)))
    names = tuple(x.strip() for x in lines if x.strip())
    if not names:
        raise ModelError(f"{file}: empty", hint=_FORM)
    try:
        return _unique(file, find_labels(names))
    except ModelError as error:
        raise ModelError(f"{file}: {error}", hint=error.hint) from None


_FORM = "a CSV table with the header label,category, or one name of the 265 labels a line; UTF-8"


def _row(file: Path, line: int, row: dict[str, str | None]) -> LabelInfo:
    """One row; a label of the 265 keeps its gloss and near-duplicates, its category is the row's."""
    label, category = ((row.get(x) or "").strip() for x in ("label", "category"))
    known = {x.label: x for x in labels265()}.get(label)
    gloss = (row.get("gloss") or "").strip() or (known.gloss if known else "")
    try:
        return LabelInfo(
            label=label,
            category=Category(category),
            label265=known.label265 if known else None,
            gloss=gloss,
            similar=known.similar if known else (),
        )
    except ValidationError as error:
        raise ModelError(f"{file}: line {line}: {error.errors()[0]['msg']}", hint=_FORM) from None
    except ValueError:
        wanted = ", ".join(x.value for x in Category)
        raise ModelError(f"{file}: line {line}: category {category!r} is none of {wanted}", hint=_FORM) from None


def _unique(file: Path, labels: tuple[LabelInfo, ...]) -> tuple[LabelInfo, ...]:
    seen: set[str] = set()
    for info in labels:
        if info.label in seen:
            raise ModelError(f"{file}: label {info.label!r} stands there twice", hint="each output has its own label")
        seen.add(info.label)
    return labels
