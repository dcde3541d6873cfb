"""From what a technician writes (index, label, other spelling, item name, English gloss) to one label of the model."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from bin_daemon.domain import Category
from bin_daemon.errors import ConfigError
from bin_daemon.model.label_names import spelling, split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bin_daemon.model.bundle import LabelInfo

PLACE = "model.label_overrides"
SHOWN = 3
"""Candidates named in a hint."""


def find_index(key: str, labels: Sequence[LabelInfo]) -> int:
    """The one label that ``key`` means.

    In this order: the label as it is, its index, the label in another spelling (其他垃圾-陶瓷 for 其它垃圾-陶瓷), the bare item
    name (电池), the English gloss or a part of it (battery). ConfigError when none fits, or several do (果壳 is 24 and 225).
    """
    exact = [x.label for x in labels]
    if key in exact:
        return exact.index(key)
    if key.isdecimal() and int(key) < len(labels):
        return int(key)
    word = spelling(key).casefold()
    for names in (_full_name, _item_name, _glosses):
        found = [i for i, info in enumerate(labels) if word in names(info)]
        if len(found) == 1:
            return found[0]
        if found:
            raise ConfigError(
                f"{PLACE}: {key!r} may be {_listed(found, labels)}", hint="write the index or the whole label"
            )
    raise ConfigError(f"{PLACE}: {key!r} is no label or index of the active model", hint=_nearest(key, labels))


def search(word: str, labels: Sequence[LabelInfo]) -> list[int]:
    """Indexes of the labels that hold ``word`` in name or gloss, or have it as index; in index order."""
    wanted = spelling(word).casefold()
    return [
        i
        for i, info in enumerate(labels)
        if wanted == str(i) or wanted in spelling(info.label).casefold() or wanted in info.gloss.casefold()
    ]


def _full_name(info: LabelInfo) -> set[str]:
    return {spelling(info.label).casefold()}


def _item_name(info: LabelInfo) -> set[str]:
    return {split(info.label)[1].casefold()}


def _glosses(info: LabelInfo) -> set[str]:
    """The whole gloss, it without what is in brackets, and each of its words for the thing."""
    whole = info.gloss.casefold()
    bare = whole.partition(" (")[0]
    return {whole, bare, *(x.strip() for x in bare.split(","))} - {""}


def _listed(indexes: list[int], labels: Sequence[LabelInfo]) -> str:
    shown = [f"{i} ({labels[i].label}, {labels[i].category.value})" for i in indexes[:SHOWN]]
    more = [f"{len(indexes) - SHOWN} more"] if len(indexes) > SHOWN else []
    return " or ".join(shown + more)


def _nearest(key: str, labels: Sequence[LabelInfo]) -> str:
    names = {name: i for i, info in enumerate(labels) for name in (info.label, split(info.label)[1], *_glosses(info))}
    near = dict.fromkeys(names[x] for x in difflib.get_close_matches(key, names, n=SHOWN))
    if not near:
        return f"the model has indexes 0 to {len(labels) - 1}; `bin-daemon model labels` lists them"
    return f"did you mean {_listed(list(near), labels)}?"


def count_categories(labels: Sequence[LabelInfo]) -> dict[str, int]:
    """How many labels each category has, in the order of `Category`."""
    return {category.value: sum(x.category is category for x in labels) for category in Category}
