"""Data sets: label order, tables, and every way in which a folder can be wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bin_daemon.domain import Category
from bin_daemon.errors import ConfigError
from bin_daemon.training.data import available, hold_out, load, read_labels


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
    with pytest.raises(ConfigError, match=r"neither labels.csv nor MANIFEST.csv nor classname.txt, and .*'apple'"):
        load(copy, needed=("val",))
    shutil.rmtree(copy / "val")
    shutil.rmtree(copy / "test")
    with pytest.raises(ConfigError, match="no folder with pictures"):
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


def rename(copy: Path, names: dict[str, str]) -> None:
    """Give the label folders other names, and take the table away."""
    (copy / "labels.csv").unlink(missing_ok=True)
    for split in ("train", "val", "test"):
        for old, new in names.items():
            (copy / split / old).rename(copy / split / new)


def test_numbers_alone_are_national_indices(copy: Path) -> None:
    """Without a table folders 9, 52, 110 and 251 are those of the 265 labels, in order of their numbers."""
    rename(copy, {"box": "52", "apple": "9", "cell": "251", "stripe": "201"})
    rows = load(copy).labels
    assert [x.label265 for x in rows] == [9, 52, 201, 251]
    assert [x.category for x in rows] == [Category.KITCHEN, Category.RECYCLABLE, Category.OTHER, Category.HAZARDOUS]
    rename(copy, {"9": "265"})
    with pytest.raises(ConfigError, match="folder 265: the national labels have indices 0 to 264"):
        load(copy)


def test_category_folders_need_no_table(copy: Path) -> None:
    """Folders named by the four categories are labels of their own."""
    rename(copy, {"box": "recyclable", "apple": "Kitchen", "cell": "hazardous", "stripe": "other"})
    rows = load(copy).labels
    assert {x.label: x.category for x in rows} == {c.value: c for c in Category}


def test_classnames_give_numbers_and_names(copy: Path) -> None:
    """With classname.txt a folder is its line's index or its line's name; the prefix tells the category, the alias is known."""
    names = ["厨余垃圾-a", "可回收物-b", "其它垃圾-陶瓷", "有害垃圾-d"]
    rename(copy, {"apple": "0", "box": "1", "stripe": "2", "cell": "有害垃圾-d"})
    (copy / "classname.txt").write_text("\n".join(names) + "\n\n", encoding="utf-8")
    rows = load(copy).labels
    assert [x.label for x in rows] == ["厨余垃圾-a", "可回收物-b", "其它垃圾-陶瓷", "有害垃圾-d"]
    assert rows[2].label265 == 250
    (copy / "classname.txt").write_text("\n".join(names[:2]), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"classname.txt: 2 classes, but there is a folder 2"):
        load(copy)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no class name in it"),
        ("厨余垃圾-a\n\n可回收物-b\n", r"classname.txt:2: empty line"),
        ("厨余垃圾-a\n厨余垃圾-a\n", r"classname.txt:2: '厨余垃圾-a' stands on line 1"),
        ("厨余垃圾-a\nSofa\n", r"classname.txt:2: .*'Sofa'"),
    ],
)
def test_bad_classnames_are_refused(copy: Path, content: str, message: str) -> None:
    """An empty file, a gap that shifts all indices, a name twice, a name without category: file and line."""
    rename(copy, {"apple": "0"})
    (copy / "classname.txt").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        load(copy)
    assert caught.value.hint


def test_flat_folder_is_one_split(copy: Path) -> None:
    """DATA/LABEL/*.png without splits is whichever single split is asked for."""
    (copy / "val" / "labels.csv").write_text((copy / "labels.csv").read_text())
    assert available(copy / "val") == ("all",)
    assert len(load(copy / "val", needed=("test",)).splits["test"]) == 24
    with pytest.raises(ConfigError, match="no folder train/"):
        load(copy / "val", needed=("train", "test"))


def test_other_names_of_val(copy: Path) -> None:
    """validation/ is val; both at once is one too many."""
    (copy / "val").rename(copy / "validation")
    assert available(copy) == ("train", "val", "test")
    assert len(load(copy, needed=("val",)).splits["val"]) == 24
    (copy / "val").mkdir()
    with pytest.raises(ConfigError, match="both val/ and validation/"):
        load(copy)


def test_two_folders_of_one_label_are_refused(copy: Path) -> None:
    """Folders 7 and 007 would be two outputs of a model for one label."""
    rename(copy, {"box": "7", "apple": "007", "cell": "8", "stripe": "9"})
    with pytest.raises(ConfigError, match=r"the folders .* are both the label"):
        load(copy)


def test_groups_come_from_the_manifest(copy: Path) -> None:
    """MANIFEST.csv's group says which pictures show the same object."""
    rows = "".join(
        f"test/{x}/{i}.png,{x},other,g{i // 2}\n" for x in ("box", "apple", "cell", "stripe") for i in range(6)
    )
    (copy / "MANIFEST.csv").write_text(f"file,fine_label,bin,group\n{rows}")
    groups = [x.group for x in load(copy, needed=("test",)).splits["test"][:6]]
    assert groups == ["g0", "g0", "g1", "g1", "g2", "g2"]


def test_splits_not_asked_for_are_not_looked_at(copy: Path) -> None:
    """Evaluating test neither decodes nor refuses what lies in train."""
    for picture in (copy / "train").rglob("*.png"):
        picture.write_text("no picture")
    data = load(copy, needed=("test",), splits=("test",), decode=False)
    assert set(data.splits) == {"test"}
    assert [x.label for x in data.labels] == ["apple", "box", "cell", "stripe"]
