"""Pictures to compare engines on: folders and tables, with labels where they are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from bin_daemon.domain import Category
from bin_daemon.errors import ModelError
from bin_daemon.model.architecture import ArchitectureInfo
from bin_daemon.model.bundle import BundleMetadata, LabelInfo
from bin_daemon.model.labels import CATEGORIES
from bin_daemon.model.photos import find_photos

METADATA = BundleMetadata(
    id="x",
    architecture=ArchitectureInfo(name="convnext_tiny"),
    labels=tuple(
        LabelInfo(label=label, category=category)
        for label, category in (
            ("可回收物-瓶", Category.RECYCLABLE),
            ("battery", Category.HAZARDOUS),
            ("egg", Category.KITCHEN),
        )
    ),
)


def _found(place: Path) -> dict[str, str | None]:
    return {
        str(x.file.relative_to(place if place.is_dir() else place.parent)): (
            None if x.category_index is None else CATEGORIES[x.category_index].value
        )
        for x in find_photos(place, METADATA)
    }


def test_the_nearest_folder_that_is_a_label_decides(tmp_path: Path) -> None:
    """A label's text, its index, a category; other folders and other files do not count."""
    for name in (
        "test/battery/a.jpg",
        "可回收物-瓶/b.PNG",
        "2/new/c.jpeg",
        "other/d.webp",
        "loose.jpg",
        "egg/notes.txt",
        "9/e.jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert _found(tmp_path) == {
        "loose.jpg": None,
        "2/new/c.jpeg": "kitchen",
        "9/e.jpg": None,
        "other/d.webp": "other",
        "test/battery/a.jpg": "hazardous",
        "可回收物-瓶/b.PNG": "recyclable",
    }


@pytest.mark.parametrize("head", ["file,label", "image:FILE,category", "\ufefffile,size,bin"])
def test_a_table_names_files_and_labels(tmp_path: Path, head: str) -> None:
    """Relative to the table; ModelScope's own heading too; a row without a known label counts as not labelled."""
    rows = [("a.jpg", "1"), ("b.jpg", "recyclable"), ("c.jpg", "")]
    middle = "5," if "size" in head else ""
    for name, _ in rows:
        (tmp_path / name).touch()
    table = tmp_path / "list.csv"
    table.write_text("\n".join([head, *(f"{name},{middle}{label}" for name, label in rows)]) + "\n", "utf-8")
    assert _found(table) == {"a.jpg": "hazardous", "b.jpg": "recyclable", "c.jpg": None}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"file,label\nnowhere.jpg,1\n", r"list\.csv: line 2: no such picture: .*nowhere\.jpg"),
        (b"name,label\nx,1\n", r"list\.csv: line 1: no column named file or image:file"),
        (b"", r"list\.csv: line 1: no column"),
        (b"file,label\n", r"list\.csv: no picture in it"),
        (b"\xff\xfe\x00broken", r"list\.csv: "),
        (None, r"list\.csv: No such file or directory"),
    ],
)
def test_a_bad_table_is_one_error(tmp_path: Path, content: bytes | None, message: str) -> None:
    """With the line, where it is one line's fault."""
    table = tmp_path / "list.csv"
    if content is not None:
        table.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        find_photos(table, METADATA)


def test_an_empty_folder_is_one_error(tmp_path: Path) -> None:
    """No picture, no comparison."""
    with pytest.raises(ModelError, match="no picture in it"):
        find_photos(tmp_path, METADATA)
