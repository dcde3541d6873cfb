"""Data sets: label order, tables, and every way in which a folder can be wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bin_daemon.domain import Category
from bin_daemon.errors import ConfigError
from bin_daemon.training.data import hold_out, load, read_labels


@pytest.fixture
def copy(shapes: Path, tmp_path: Path) -> Path:
    """The shapes, to be damaged."""
    return Path(shutil.copytree(shapes, tmp_path / "copy"))


def test_labels_and_categories(shapes: Path) -> None:
    """Labels come in order of their folders, each with its category, every picture with its label."""
    data = load(shapes, needed=("train", "val", "test"))
    assert [x.label for x in data.labels] == ["apple", "box", "cell", "stripe"]
    assert [x.category for x in data.labels] == [
        Category.KITCHEN,
        Category.RECYCLABLE,
        Category.HAZARDOUS,
        Category.OTHER,
    ]
    assert {k: len(v) for k, v in data.splits.items()} == {"train": 48, "val": 24, "test": 24}
    assert all(x.path.parent.name == data.labels[x.label_index].label for x in data.splits["test"])


def test_numbered_folders_are_ordered_as_numbers(copy: Path) -> None:
    """Folders 0, 2, 10, 11 are indices of the table, and 10 comes after 2."""
    for split in ("train", "val", "test"):
        for old, new in zip(("box", "apple", "cell", "stripe"), ("0", "2", "10", "11"), strict=True):
            (copy / split / old).rename(copy / split / new)
    rows = "".join(f"{i},label-{i},other\n" for i in range(12))
    (copy / "labels.csv").write_text(f"index,label,category\n{rows}")
    assert [x.label for x in load(copy).labels] == ["label-0", "label-2", "label-10", "label-11"]


def test_manifest_gives_categories_and_national_label(copy: Path) -> None:
    """A manifest with one row for each picture serves as the table."""
    (copy / "labels.csv").unlink()
    rows = "box,recyclable,198\nbox,recyclable,198\napple,kitchen,42\ncell,hazardous,\nstripe,other,250\n"
    (copy / "MANIFEST.csv").write_text("fine_label,bin,nearest_label265\n" + rows)
    assert {x.label: x.label265 for x in load(copy).labels} == {"apple": 42, "box": 198, "cell": None, "stripe": 250}


def test_unreadable_picture_is_left_out_and_named(copy: Path) -> None:
    """One truncated picture among many is skipped with its reason; the others stay."""
    victim = copy / "train" / "box" / "3.png"
    victim.write_bytes(victim.read_bytes()[:200])
    data = load(copy)
    assert [x.path for x in data.bad] == [victim]
    assert data.bad[0].reason
    assert len(data.splits["train"]) == 47


def test_many_unreadable_pictures_are_refused(copy: Path) -> None:
    """Above a tenth of a split, the first bad one is named and nothing is trained."""
    for number in range(6):
        (copy / "train" / "box" / f"{number}.png").write_text("no picture")
    with pytest.raises(ConfigError, match=r"6 of 48 pictures are unreadable.*0\.png"):
        load(copy)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("label,category\nbox,recyclable\napple,kitchen\ncell,hazardous\n", "no category for the folder stripe"),
        ("label,category\nbox,paper\n", r"labels.csv:2: label 'box': 'paper'"),
        ("label,category\nbox,other\nbox,kitchen\n", r"labels.csv:3: label 'box' is kitchen here, other above"),
        ("name,kind\nbox,other\n", "no column label or fine_label"),
    ],
)
def test_bad_table_is_refused(copy: Path, table: str, message: str) -> None:
    """A table that lacks a label, a column or a known category is refused with file, line and value."""
    (copy / "labels.csv").write_text(table)
    with pytest.raises(ConfigError, match=message) as caught:
        load(copy)
    assert caught.value.hint


def test_missing_parts_are_refused(copy: Path) -> None:
    """No folder, no split, no table, an empty label: each one says which."""
    with pytest.raises(ConfigError, match="no such folder"):
        load(copy / "nowhere")
    for picture in (copy / "train" / "cell").iterdir():
        picture.unlink()
    with pytest.raises(ConfigError, match="no picture of cell"):
        load(copy)
    shutil.rmtree(copy / "train")
    with pytest.raises(ConfigError, match=r"no folder train/ \(found: val, test\)"):
        load(copy)
    (copy / "labels.csv").unlink()
    with pytest.raises(ConfigError, match=r"neither labels.csv nor MANIFEST.csv"):
        load(copy)


def test_not_utf8_table(tmp_path: Path) -> None:
    """A table in another encoding is an error with its name, no traceback."""
    file = tmp_path / "labels.csv"
    file.write_bytes("label,category\n果壳,other\n".encode("gb18030"))
    with pytest.raises(ConfigError, match=r"labels\.csv"):
        read_labels(file)


def test_hold_out_is_stratified_and_repeatable(copy: Path) -> None:
    """Without val, the same share of every label is held out, the same pictures for the same seed, and none is lost."""
    shutil.rmtree(copy / "val")
    data = load(copy)
    split = hold_out(data, 0.25, seed=3)
    assert [(split.indices("val") == i).sum() for i in range(4)] == [3, 3, 3, 3]
    assert set(split.splits["train"]) | set(split.splits["val"]) == set(data.splits["train"])
    assert not set(split.splits["train"]) & set(split.splits["val"])
    assert hold_out(data, 0.25, seed=3) == split
    assert hold_out(data, 0.25, seed=4) != split
