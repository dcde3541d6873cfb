"""The 265 waste labels of the card's model, in its index order: category, English gloss, and which are near-duplicates.

The table ``labels265.csv`` is ours; order and spelling are those of the model's checkpoint (``meta.CLASSES``). One of its labels
is spelt unlike the other 49 of its category (250, 其它垃圾-陶瓷): both spellings are understood.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from bin_daemon.domain import Category
from bin_daemon.errors import ModelError
from bin_daemon.model.bundle import LabelInfo
from bin_daemon.model.label_names import spelling, split

if TYPE_CHECKING:
    from collections.abc import Sequence

TABLE = Path(__file__).with_name("labels265.csv")
COUNT = 265


@lru_cache(maxsize=1)
def labels265() -> tuple[LabelInfo, ...]:
    """All 265 labels in index order; ``label265`` is the index, ``gloss`` the English, ``similar`` the near-duplicates."""
    with TABLE.open(encoding="utf-8", newline="") as stream:
        return tuple(
            LabelInfo(
                label=row["label"],
                category=Category(row["category"]),
                label265=int(row["index"]),
                gloss=row["gloss"],
                similar=tuple(int(x) for x in row["similar"].split()),
            )
            for row in csv.DictReader(stream)
        )


def find_labels(names: Sequence[str]) -> tuple[LabelInfo, ...]:
    """A model's class names as labels, in the order given.

    A name of the 265, however spelt, becomes that label. Another one whose prefix is known (a site's own 可回收物-X) keeps its
    name and gets the prefix's category. ModelError names the first of any other kind.
    """
    known = {spelling(x.label): x for x in labels265()}
    return tuple(known.get(spelling(name)) or _by_prefix(index, name) for index, name in enumerate(names))


def _by_prefix(index: int, name: str) -> LabelInfo:
    category, _ = split(name)
    if category is None:
        raise ModelError(
            f"class {index}, {name!r}, is none of the {COUNT} known labels and has none of their prefixes",
            hint="give the category of each label in a CSV table label,category",
        )
    return LabelInfo(label=name, category=category)
