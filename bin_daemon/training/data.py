"""Labelled pictures in folders: ``DATA/{train,val,test}/LABEL/*.jpg`` with a table that gives each label its category.

The table is ``labels.csv`` (columns label, category, and optionally index, label265), or ``MANIFEST.csv`` (columns fine_label or
label, bin or category, and optionally nearest_label265 or label265), or a file named by hand. Folders named by numbers
are read as indices of the table and ordered as numbers: sorted as strings, 265 of them would be scrambled.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from bin_daemon.domain import Category
from bin_daemon.errors import ConfigError

SPLITS = ("train", "val", "test")
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})

MAX_BAD_FRAC = 0.1
"""More unreadable pictures than this in one split: the copy is damaged, a number measured on the rest would mislead."""


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One fine label: its name in the model, its category and the nearest of the 265 national labels (None where none fits)."""

    label: str
    category: Category
    label265: int | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture file and the index of its label in the data set's label order."""

    path: Path
    label_index: int


@dataclass(frozen=True, slots=True)
class BadPicture:
    """A file that could not be read as a picture, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class DataSet:
    """Labels in model order, readable pictures per split, and what had to be left out."""

    root: Path
    labels: tuple[LabelRow, ...]
    splits: dict[str, tuple[Picture, ...]]
    bad: tuple[BadPicture, ...] = field(default=())

    def indices(self, split: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Label index of every picture of ``split``, int64, N."""
        return np.array([x.label_index for x in self.splits[split]], dtype=np.int64)

    def categories(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Position in `Category` of every label, int64, L."""
        order = list(Category)
        return np.array([order.index(x.category) for x in self.labels], dtype=np.int64)


def load(root: Path, *, labels: Path | None = None, needed: tuple[str, ...] = ("train",)) -> DataSet:
    """Read a data set; every picture is decoded once at low resolution, so that a damaged one is known before work starts.

    Args:
        root: The data set's folder.
        labels: Table of labels and categories; default ``labels.csv`` or ``MANIFEST.csv`` in ``root``.
        needed: Splits that must be there and not empty.

    Raises:
        ConfigError: Folder, table, category or pictures are missing, or too many pictures are damaged.
    """
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder", hint="give the folder that holds train/, val/ and test/")
    table = read_labels(labels or _find_table(root))
    present = [s for s in SPLITS if (root / s).is_dir()]
    for split in needed:
        if split not in present:
            raise ConfigError(
                f"{root}: no folder {split}/ (found: {', '.join(present) or 'none of train, val, test'})",
                hint=f"put the pictures into {root / split}/LABEL/",
            )
    folders = {s: _label_folders(root / s) for s in present}
    rows, names = _label_order(folders, table, root)
    splits: dict[str, tuple[Picture, ...]] = {}
    bad: list[BadPicture] = []
    for split in present:
        good, damaged = _pictures(folders[split], names)
        _refuse_if_damaged(root / split, good, damaged, must_have=split in needed)
        splits[split] = good
        bad += damaged
    _refuse_empty_labels(root, rows, splits)
    return DataSet(root, rows, splits, tuple(bad))


def read_labels(path: Path) -> dict[str, LabelRow]:
    """Read a table of labels: a dict from folder name (label or index) to row, in the table's order.

    Raises:
        ConfigError: Unreadable, a column is missing, or a category is none of the four (line named).
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or ()
            label = _column(path, columns, "label", "fine_label")
            category = _column(path, columns, "category", "bin")
            near = next((c for c in ("label265", "nearest_label265") if c in columns), None)
            table: dict[str, LabelRow] = {}
            for line, row in enumerate(reader, start=2):
                entry = _row(f"{path}:{line}", row[label], row[category], row.get(near, "") if near else "")
                key = row["index"] if "index" in columns else entry.label
                known = table.setdefault(key, entry)
                if known.category is not entry.category:
                    raise ConfigError(
                        f"{path}:{line}: label {entry.label!r} is {entry.category.value} here, {known.category.value} above",
                        hint="one label has one category",
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(
            f"{path}: {error}", hint="a CSV table in UTF-8 with the columns label and category"
        ) from error
    return table


def hold_out(data: DataSet, frac: float, seed: int) -> DataSet:
    """Give a data set without ``val`` one: ``frac`` of every label's training pictures (at least one of two), drawn by seed."""
    if data.splits.get("val"):
        return data
    rng = np.random.default_rng(seed)
    kept: list[Picture] = []
    held: list[Picture] = []
    for index in range(len(data.labels)):
        mine = [x for x in data.splits["train"] if x.label_index == index]
        take = max(1, round(frac * len(mine))) if len(mine) > 1 else 0
        chosen = set(rng.permutation(len(mine))[:take].tolist())
        kept += [x for i, x in enumerate(mine) if i not in chosen]
        held += [x for i, x in enumerate(mine) if i in chosen]
    return DataSet(data.root, data.labels, {**data.splits, "train": tuple(kept), "val": tuple(held)}, data.bad)


def _find_table(root: Path) -> Path:
    for name in ("labels.csv", "MANIFEST.csv"):
        if (root / name).is_file():
            return root / name
    raise ConfigError(
        f"{root}: neither labels.csv nor MANIFEST.csv",
        hint="write labels.csv with the columns label,category (recyclable, kitchen, hazardous or other), or give --labels FILE",
    )


def _column(path: Path, columns: object, *names: str) -> str:
    found = next((n for n in names if n in list(columns or ())), None)  # type: ignore[call-overload]
    if found is None:
        raise ConfigError(f"{path}: no column {' or '.join(names)} in its first line", hint="needed: label,category")
    return found


def _row(where: str, label: str, category: str, near: str) -> LabelRow:
    try:
        return LabelRow(label, Category(category), int(near) if near else None)
    except ValueError as error:
        known = ", ".join(c.value for c in Category)
        raise ConfigError(f"{where}: label {label!r}: {error}", hint=f"category is one of {known}") from error


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    return tuple((0, int(x), "") if x.isdigit() else (1, 0, x) for x in re.findall(r"\d+|\D+", name))


def _label_folders(split: Path) -> dict[str, Path]:
    found = [x for x in split.iterdir() if x.is_dir() and not x.name.startswith(".")]
    return {x.name: x for x in sorted(found, key=lambda x: _natural(x.name))}


def _label_order(
    folders: dict[str, dict[str, Path]], table: dict[str, LabelRow], root: Path
) -> tuple[tuple[LabelRow, ...], dict[str, int]]:
    names = sorted({n for split in folders.values() for n in split}, key=_natural)
    unknown = [n for n in names if n not in table]
    if unknown:
        raise ConfigError(
            f"{root}: no category for the folder {', '.join(unknown[:5])}{' ...' if len(unknown) > 5 else ''}",  # noqa: PLR2004 - display
            hint="add a line to the table of labels",
        )
    return tuple(table[n] for n in names), {n: i for i, n in enumerate(names)}


def _pictures(folders: dict[str, Path], names: dict[str, int]) -> tuple[tuple[Picture, ...], list[BadPicture]]:
    good: list[Picture] = []
    bad: list[BadPicture] = []
    for name, folder in folders.items():
        files = [x for x in folder.iterdir() if x.suffix.lower() in PICTURE_SUFFIXES]
        for path in sorted(files, key=lambda x: _natural(x.name)):
            reason = _why_unreadable(path)
            if reason:
                bad.append(BadPicture(path, reason))
            else:
                good.append(Picture(path, names[name]))
    return tuple(good), bad


def _why_unreadable(path: Path) -> str:
    try:
        with Image.open(path) as picture:
            picture.draft("RGB", (32, 32))  # JPEG decodes at 1/8: quick, and still meets a truncated file
            picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return str(error) or type(error).__name__
    return ""


def _refuse_if_damaged(split: Path, good: tuple[Picture, ...], bad: list[BadPicture], *, must_have: bool) -> None:
    if must_have and not good:
        raise ConfigError(f"{split}: not one readable picture", hint=f"pictures belong into {split}/LABEL/")
    if len(bad) > MAX_BAD_FRAC * (len(good) + len(bad)):
        raise ConfigError(
            f"{split}: {len(bad)} of {len(good) + len(bad)} pictures are unreadable, first {bad[0].path}: {bad[0].reason}",
            hint="copy the data set again; up to a tenth would be left out",
        )


def _refuse_empty_labels(root: Path, rows: tuple[LabelRow, ...], splits: dict[str, tuple[Picture, ...]]) -> None:
    if "train" not in splits:
        return
    seen = {x.label_index for x in splits["train"]}
    empty = [r.label for i, r in enumerate(rows) if i not in seen]
    if empty:
        raise ConfigError(
            f"{root / 'train'}: no picture of {', '.join(empty[:5])}",
            hint="add pictures or remove the label's folder from every split",
        )
