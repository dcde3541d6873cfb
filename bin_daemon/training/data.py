"""Read labelled pictures: image folders (`bin_daemon.training.folders`), or ModelScope's lists (`bin_daemon.training.lists`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from bin_daemon.errors import ConfigError
from bin_daemon.training.dataset import ALL, SPLITS, BadPicture, DataSet, LabelRow, Picture, hold_out
from bin_daemon.training.folders import read_folders, split_folders
from bin_daemon.training.label_table import read_labels, resolver
from bin_daemon.training.lists import read_lists, split_lists

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "ALL",
    "SPLITS",
    "BadPicture",
    "DataSet",
    "LabelRow",
    "Picture",
    "available",
    "hold_out",
    "load",
    "read_labels",
]

MAX_BAD_FRAC = 0.1
"""More unreadable pictures than this in one split: the copy is damaged, a number measured on the rest would mislead."""


def available(root: Path) -> tuple[str, ...]:
    """The splits of a data set, in the order of `SPLITS`; `ALL` alone where it has none: one CSV list, or DATA/LABEL/*.jpg."""
    if root.is_file():
        return (ALL,)
    _need_folder(root)
    return tuple(split_lists(root) or split_folders(root)) or (ALL,)


def load(
    root: Path,
    *,
    labels: Path | None = None,
    needed: tuple[str, ...] = ("train",),
    splits: tuple[str, ...] = SPLITS,
    decode: bool = True,
    skip_bad_rows: bool = False,
) -> DataSet:
    """Read a data set.

    Args:
        root: The data set's folder, or one CSV list.
        labels: Table of labels and categories; default: see `bin_daemon.training.label_table`.
        needed: Splits that must be there and not empty. A data set without splits is the first of them.
        splits: Splits that are read; others are not even looked at.
        decode: Decode every picture once at low resolution, so that a damaged one is known (and left out) before work starts.
        skip_bad_rows: Leave out rows of a list that point nowhere or repeat an earlier one, instead of refusing.

    Raises:
        ConfigError: Folder, table, category or pictures are missing, a list has bad rows, or too many pictures are damaged.
    """
    wanted = tuple(s for s in (*splits, *needed) if s)
    if root.is_file():
        lists = {needed[0]: root}
        return _checked(_from_lists(root.parent, lists, labels, skip_bad_rows=skip_bad_rows), needed, decode=decode)
    _need_folder(root)
    if lists := split_lists(root):
        _need_splits(root, tuple(lists), needed, "list {}.csv")
        chosen = {s: f for s, f in lists.items() if s in wanted}
        return _checked(_from_lists(root, chosen, labels, skip_bad_rows=skip_bad_rows), needed, decode=decode)
    folders = split_folders(root) or _flat(root, needed)
    _need_splits(root, tuple(folders), needed, "folder {}/")
    rows, found = read_folders(root, folders, wanted, resolver(root, labels))
    data = _checked(DataSet(root, rows, found), needed, decode=decode)
    _refuse_empty_labels(data, needed)
    return data


def _from_lists(root: Path, lists: dict[str, Path], labels: Path | None, *, skip_bad_rows: bool) -> DataSet:
    rows, splits, bad = read_lists(root, lists, labels, skip_bad_rows=skip_bad_rows)
    return DataSet(root, rows, splits, bad)


def _flat(root: Path, needed: tuple[str, ...]) -> dict[str, Path]:
    """All of ``root`` as one split: where train is wanted, and where nothing asks for several."""
    return {needed[0]: root} if len(needed) == 1 else {}


def _need_folder(root: Path) -> None:
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder", hint="give the data set's folder, or a CSV list of pictures")


def _need_splits(root: Path, present: tuple[str, ...], needed: tuple[str, ...], kind: str) -> None:
    for split in needed:
        if split not in present:
            raise ConfigError(
                f"{root}: no {kind.format(split)} (found: {', '.join(present) or 'none of train, val, test'})",
                hint="put the pictures into train/LABEL/, val/LABEL/ and test/LABEL/, or write CSV lists of them",
            )


def _checked(data: DataSet, needed: tuple[str, ...], *, decode: bool) -> DataSet:
    """Without the pictures that cannot be read, where they are to be ``decode``d; refused when a split is empty or damaged."""
    splits: dict[str, tuple[Picture, ...]] = {}
    bad = list(data.bad)
    for split, pictures in data.splits.items():
        damaged = [BadPicture(x.path, f"{x.where}: {why}".lstrip(": ")) for x in pictures if (why := _why(x, decode))]
        gone = {x.path for x in damaged}
        good = tuple(x for x in pictures if x.path not in gone)
        if split in needed and not good and not damaged:
            raise ConfigError(
                f"{data.root}: not one picture in split {split}", hint=f"pictures belong into {split}/LABEL/"
            )
        refuse_if_damaged(f"{data.root}: split {split}", len(pictures), damaged)
        splits[split] = good
        bad += damaged
    return DataSet(data.root, data.labels, splits, tuple(bad))


def refuse_if_damaged(name: str, count: int, bad: list[BadPicture]) -> None:
    """ConfigError when more than `MAX_BAD_FRAC` of ``count`` pictures are ``bad``."""
    if len(bad) > MAX_BAD_FRAC * count:
        raise ConfigError(
            f"{name}: {len(bad)} of {count} pictures are unreadable, first {bad[0].path}: {bad[0].reason}",
            hint="copy the data set again; up to a tenth would be left out",
        )


def _why(picture: Picture, decode: bool) -> str:  # noqa: FBT001 - handed through
    """Why a picture cannot be read; '' when it can, or nobody wants to know."""
    if not decode:
        return ""
    try:
        with Image.open(picture.path) as opened:
            opened.draft("RGB", (32, 32))  # JPEG decodes at 1/8: quick, and still meets a truncated file
            opened.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return str(error) or type(error).__name__
    return ""


def _refuse_empty_labels(data: DataSet, needed: tuple[str, ...]) -> None:
    """A label folder without a training picture is a mistake; a class of a list may wait for its first."""
    if "train" not in needed:
        return
    seen = {x.label_index for x in data.splits["train"]}
    empty = [r.label for i, r in enumerate(data.labels) if i not in seen]
    if empty:
        raise ConfigError(
            f"{data.root}: split train: no picture of {', '.join(empty[:5])}",
            hint="add pictures or remove the label's folder from every split",
        )
