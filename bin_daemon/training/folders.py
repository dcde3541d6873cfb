"""Image folders: ``DATA/{train,val,test}/LABEL/*.jpg``, or ``DATA/LABEL/*.jpg`` where all pictures are one split.

Folders named by numbers are indices and are ordered as numbers: sorted as strings, 265 of them would be scrambled.
"""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

from bin_daemon.errors import ConfigError
from bin_daemon.training.dataset import SPLITS, LabelRow, Picture

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from bin_daemon.training.label_table import Resolve

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
SPLIT_NAMES = {"train": ("train",), "val": ("val", "validation", "valid"), "test": ("test",)}
"""What folders and lists of a split may be called."""


def split_folders(root: Path) -> dict[str, Path]:
    """The split folders that are there; ConfigError when one split has two (val and validation)."""
    found: dict[str, Path] = {}
    for split in SPLITS:
        mine = [root / n for n in SPLIT_NAMES[split] if (root / n).is_dir()]
        if len(mine) > 1:
            raise ConfigError(f"{root}: both {mine[0].name}/ and {mine[1].name}/", hint=f"keep one folder for {split}")
        if mine:
            found[split] = mine[0]
    return found


def read_folders(
    root: Path, folders: dict[str, Path], wanted: tuple[str, ...], resolve: Resolve
) -> tuple[tuple[LabelRow, ...], dict[str, tuple[Picture, ...]]]:
    """Labels of all ``folders``, in natural order of their names, and the pictures of the ``wanted`` ones."""
    inside = {split: label_folders(folder) for split, folder in folders.items()}
    names = sorted({n for found in inside.values() for n in found}, key=natural)
    if not names:
        raise ConfigError(f"{root}: no folder with pictures in it", hint="pictures belong into a folder for each label")
    rows = resolve(names)
    _refuse_twins(root, names, rows)
    place = {n: i for i, n in enumerate(names)}
    groups = read_groups(root)
    splits = {s: tuple(_pictures(root, inside[s], place, groups)) for s in folders if s in wanted}
    return rows, splits


def label_folders(split: Path) -> dict[str, Path]:
    """Folders of a split that may hold pictures, in natural order: 2 before 10."""
    found = [x for x in split.iterdir() if x.is_dir() and not x.name.startswith(".")]
    return {x.name: x for x in sorted(found, key=lambda x: natural(x.name))}


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key: numbers in a name count as numbers."""
    return tuple((0, int(x), "") if x.isdecimal() else (1, 0, x) for x in re.findall(r"\d+|\D+", name))


def pictures_below(folder: Path) -> list[Path]:
    """All picture files at any depth, in natural order of their paths."""
    found = (x for x in folder.rglob("*") if x.suffix.lower() in PICTURE_SUFFIXES and x.is_file())
    return sorted(found, key=lambda x: [natural(part) for part in x.relative_to(folder).parts])


def read_groups(root: Path) -> dict[str, str]:
    """Which pictures show the same object: file (relative to ``root``) -> group, from ``MANIFEST.csv`` where it tells."""
    manifest = root / "MANIFEST.csv"
    if not manifest.is_file():
        return {}
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream)
            if not {"file", "group"} <= set(rows.fieldnames or ()):
                return {}
            return {r["file"]: r["group"] or "" for r in rows if r["file"]}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{manifest}: {error}", hint="a CSV table in UTF-8") from error


def _refuse_twins(root: Path, names: list[str], rows: tuple[LabelRow, ...]) -> None:
    """Two folders of one label ('7' and '007', a number and its name) would be two outputs of a model."""
    first: dict[str, str] = {}
    for name, row in zip(names, rows, strict=True):
        if (earlier := first.setdefault(row.label, name)) != name:
            raise ConfigError(
                f"{root}: the folders {earlier} and {name} are both the label {row.label!r}",
                hint="put their pictures into one folder",
            )


def _pictures(root: Path, folders: dict[str, Path], place: dict[str, int], groups: dict[str, str]) -> Iterable[Picture]:
    for name, folder in folders.items():
        files = [x for x in folder.iterdir() if x.suffix.lower() in PICTURE_SUFFIXES]
        for path in sorted(files, key=lambda x: natural(x.name)):
            yield Picture(path, place[name], group=groups.get(path.relative_to(root).as_posix(), ""))
