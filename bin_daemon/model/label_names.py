"""How the labels of the national categories are written: prefix, item, and the spellings that mean the same."""

from __future__ import annotations

import unicodedata

from bin_daemon.domain import Category

PREFIXES = {
    "厨余垃圾": Category.KITCHEN,
    "可回收物": Category.RECYCLABLE,
    "其他垃圾": Category.OTHER,
    "有害垃圾": Category.HAZARDOUS,
}
"""A label is PREFIX-ITEM; the prefix is its category."""
SPELLINGS = {"其它垃圾": "其他垃圾", "可回收垃圾": "可回收物"}
"""Other ways to write a prefix, seen in label lists of the same data."""


def split(label: str) -> tuple[Category | None, str]:
    """A label's category by its prefix, and the bare item name; None and the whole label where there is no known prefix."""
    prefix, dash, item = spelling(label).partition("-")
    category = PREFIXES.get(prefix)
    return (category, item) if dash and item and category else (None, label)


def spelling(label: str) -> str:
    """One spelling for all: Unicode's compatibility forms made one, the prefix as most labels have it."""
    prefix, dash, item = unicodedata.normalize("NFKC", label).strip().partition("-")
    return f"{SPELLINGS.get(prefix, prefix)}{dash}{item}"
