"""Pictures to compare engines on: a folder, or a CSV table of files and labels; a label is one of the model's or a category."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bin_daemon.domain import Category
from bin_daemon.errors import ModelError
from bin_daemon.model.labels import CATEGORIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bin_daemon.model.bundle import BundleMetadata

ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
FILE_COLUMNS = ("file", "image:file", "image", "path")
LABEL_COLUMNS = ("label", "category", "fine_label", "bin")
"""In this order: the first that the table has and that says something decides."""


@dataclass(frozen=True, slots=True)
class Photo:
    """One picture; ``category_index`` is its true category's place in `bin_daemon.model.labels.CATEGORIES`, None when unknown."""

    file: Path
    category_index: int | None


def find_photos(place: Path, metadata: BundleMetadata) -> list[Photo]:
    """All pictures of folder ``place`` or of CSV table ``place``, sorted by name; ModelError when there is none.

    In a folder, a picture's label is the name of the nearest folder that is a label of the model, its index or a category.
    A table's first row names its columns: ``file`` (or ``image:FILE``; relative to the table) and ``label`` or ``category``.
    """
    try:
        known = _Names(metadata)
        found = list(_from_table(place, known) if place.is_file() else _from_folder(place, known))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ModelError(
            f"{place}: {getattr(error, 'strerror', None) or error}",
            hint="give a folder of pictures, or a CSV table of them",
        ) from None
    if not found:
        raise ModelError(f"{place}: no picture in it", hint="give a folder of JPEG or PNG photographs")
    return found


class _Names:
    """What a label may be called: its text, its index, or only its category."""

    def __init__(self, metadata: BundleMetadata) -> None:
        self._categories = {str(index): info.category for index, info in enumerate(metadata.labels)}
        self._categories |= {category.value: category for category in Category}
        self._categories |= {info.label: info.category for info in metadata.labels}

    def category(self, name: str) -> int | None:
        found = self._categories.get(name.strip())
        return None if found is None else CATEGORIES.index(found)


def _from_folder(root: Path, known: _Names) -> Iterator[Photo]:
    for folder, subfolders, files in os.walk(root, onerror=_raise):
        subfolders.sort()
        here = Path(folder)
        names = [here, *here.parents][: len(here.relative_to(root).parts)]
        category = next((x for x in (known.category(name.name) for name in names) if x is not None), None)
        for name in sorted(files):
            if Path(name).suffix.lower() in ENDINGS:
                yield Photo(here / name, category)


def _from_table(table: Path, known: _Names) -> Iterator[Photo]:
    with table.open(encoding="utf-8-sig", newline="") as stream:
        rows = csv.DictReader(stream)
        columns = {name.strip().lower(): name for name in rows.fieldnames or ()}
        file_column = next((columns[x] for x in FILE_COLUMNS if x in columns), None)
        label_columns = [columns[x] for x in LABEL_COLUMNS if x in columns]
        if file_column is None:
            raise ModelError(
                f"{table}: line 1: no column named {' or '.join(FILE_COLUMNS[:2])}",
                hint="the first row names the columns: file,label",
            )
        for row in rows:
            file = table.parent / (row[file_column] or "").strip()
            if not file.is_file():
                raise ModelError(f"{table}: line {rows.line_num}: no such picture: {file}", hint="mend the table")
            found = (known.category(row[x] or "") for x in label_columns)
            yield Photo(file, next((x for x in found if x is not None), None))


def _raise(error: OSError) -> None:
    raise error
