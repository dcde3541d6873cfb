"""What a data set is once it has been read: labels in index order, and the pictures of each split."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.domain import Category

if TYPE_CHECKING:
    from pathlib import Path

SPLITS = ("train", "val", "test")
ALL = "all"
"""The one split of a folder that has no splits."""


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
    where: str = ""
    """The line that lists it, 'val.csv:17'; empty in image folders, where the path says it all."""
    group: str = ""
    """Pictures of one and the same object share it; empty: nothing is known of others."""


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
