"""ModelScope's lists: classname.txt and CSV files of pictures, in every form they come, and every way they can be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from bin_daemon.domain import Category
from bin_daemon.errors import ConfigError
from bin_daemon.training.data import available, load

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("厨余垃圾-a", "可回收物-b", "其他垃圾-c", "有害垃圾-d")
HEAD = "image:FILE,category\n"


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Three pictures, class names, and lists of two splits; paths relative to the data set's folder."""
    (tmp_path / "images").mkdir()
    for number in range(3):
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), np.full((8, 8, 3), 40 * number, np.uint8))
    (tmp_path / "classname.txt").write_text("\n".join(NAMES), encoding="utf-8")
    (tmp_path / "train.csv").write_text(f"{HEAD}images/0.png,0\nimages/1.png,3\n")
    (tmp_path / "validation.csv").write_text(f"{HEAD}images/2.png,1\n")
    return tmp_path


def test_lists_are_read(listed: Path) -> None:
    """Labels in the order of classname.txt, also those without pictures; every picture knows its line."""
    assert available(listed) == ("train", "val")
    data = load(listed, needed=("train", "val"))
    assert [x.label for x in data.labels] == list(NAMES)
    assert [x.category for x in data.labels] == [
        Category.KITCHEN,
        Category.RECYCLABLE,
        Category.OTHER,
        Category.HAZARDOUS,
    ]
    assert [(x.path.name, x.label_index, x.where) for x in data.splits["train"]] == [
        ("0.png", 0, "train.csv:2"),
        ("1.png", 3, "train.csv:3"),
    ]
    assert data.indices("val").tolist() == [1]


@pytest.mark.parametrize(
    "content",
    [
        f"\ufeff{HEAD}images/0.png,0\n",
        "image:FILE,category\r\nimages/0.png,0\r\n",
        '"image:FILE","category"\n"images/0.png","0"\n',
        "id,category,image:FILE\n7, 0 , images/0.png\n",
        f"{HEAD}images\\0.png,0\n",
        f"{HEAD}./images/../images/0.png,厨余垃圾-a\n\n",
    ],
    ids=["bom", "crlf", "quotes", "columns", "windows", "name"],
)
def test_forms_of_a_list(listed: Path, content: str) -> None:
    """Byte order mark, CRLF, quotes, other columns, Windows' separators and class names all mean the same row."""
    (listed / "train.csv").write_bytes(content.encode())
    (picture,) = load(listed).splits["train"]
    assert picture.path == listed / "images" / "0.png"
    assert picture.label_index == 0


def test_paths_beside_the_list_or_the_data_set(listed: Path) -> None:
    """A list given by hand finds its pictures beside itself; one split, whatever it is called."""
    inner = listed / "images" / "mine.csv"
    inner.write_text(f"{HEAD}0.png,0\n2.png,3\n")
    assert available(inner) == ("all",)
    data = load(inner, labels=listed / "classname.txt", needed=("test",))
    assert [x.path.name for x in data.splits["test"]] == ["0.png", "2.png"]


def test_without_classnames_numbers_are_national(listed: Path) -> None:
    """No classname.txt and no table: 52 is the 53rd of the 265 labels, and a national name is known however it is spelt."""
    (listed / "classname.txt").unlink()
    (listed / "train.csv").write_text(f"{HEAD}images/0.png,52\nimages/1.png,其它垃圾-陶瓷\n", encoding="utf-8")
    data = load(listed)
    assert len(data.labels) == 265
    assert data.indices("train").tolist() == [52, 250]


def test_a_table_names_classes_too(listed: Path) -> None:
    """labels.csv with its own indices serves as class names; a gap in them is refused."""
    (listed / "classname.txt").unlink()
    (listed / "labels.csv").write_text("index,label,category\n1,b,other\n0,a,kitchen\n2,c,other\n3,d,hazardous\n")
    assert [x.label for x in load(listed).labels] == ["a", "b", "c", "d"]
    (listed / "labels.csv").write_text("index,label,category\n1,b,other\n4,a,kitchen\n")
    with pytest.raises(ConfigError, match="its indices are not 0 to 1"):
        load(listed)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"train.csv:1: no column image:FILE \(found: nothing\)"),
        ("image,category\nx,0\n", r"train.csv:1: no column image:FILE \(found: image, category\)"),
        ("image:FILE,label\nx,0\n", r"train.csv:1: no column category"),
        (HEAD, "train.csv: no row in it"),
        (f"{HEAD}images/0.png\n", "train.csv:2: no category"),
        (f"{HEAD},3\n", "train.csv:2: no image:FILE"),
        (f"{HEAD}images/9.png,0\n", r"^[^;]*train.csv:2: no such file images/9.png$"),
        (f"{HEAD}images,0\n", "train.csv:2: images is a folder"),
        (f"{HEAD}images/0.png,4\n", r"train.csv:2: category 4 is outside 0 to 3 \(classname.txt\)"),
        (f"{HEAD}images/0.png,-1\n", "train.csv:2: category '-1' is no index and no class"),
        (f"{HEAD}images/0.png,Sofa\n", "train.csv:2: category 'Sofa' is no index and no class"),
        (f"{HEAD}images/0.png,0\nimages/0.png,0\n", "train.csv:3: images/0.png is listed on line 2 already$"),
        (f"{HEAD}images/0.png,0\nimages/0.png,1\n", "train.csv:3: .* line 2 already as 厨余垃圾-a"),
        (f'{HEAD}"images/0.png,0\n', "train.csv:2: unexpected end of data"),
        (f"{HEAD}images/0.png\0,0\n", "train.csv:2: (line contains NUL|no such file)"),
        (f"{HEAD}{'x' * 5000}.png,0\n", "train.csv:2: 'x{120}...': File name too long"),
    ],
)
def test_bad_lists_are_refused(listed: Path, content: str, message: str) -> None:
    """Each wrong thing is one error with file, line, value, and a hint."""
    (listed / "train.csv").write_text(content)
    with pytest.raises(ConfigError, match=message) as caught:
        load(listed)
    assert caught.value.hint


def test_many_bad_rows_are_counted(listed: Path) -> None:
    """The first five are told, all are counted, in one line."""
    rows = "".join(f"gone/{i}.png,0\n" for i in range(300))
    (listed / "train.csv").write_text(f"{HEAD}images/0.png,0\n{rows}")
    with pytest.raises(ConfigError) as caught:
        load(listed)
    text = str(caught.value)
    assert text.startswith("300 of 301 rows are no good: ")
    assert text.count("no such file") == 5
    assert "train.csv:3: no such file gone/0.png" in text


def test_bad_rows_can_be_left_out(listed: Path) -> None:
    """On request rows that point nowhere or repeat others are left out and told; a wrong category never is."""
    rows = "images/0.png,0\ngone.png,0\nimages/0.png,0\nimages/1.png,1\n"
    (listed / "train.csv").write_text(f"{HEAD}{rows}")
    data = load(listed, skip_bad_rows=True)
    assert len(data.splits["train"]) == 2
    assert [x.reason.split(": ", 1)[1] for x in data.bad] == [
        "no such file gone.png",
        "images/0.png is listed on line 2 already",
    ]
    (listed / "train.csv").write_text(f"{HEAD}{rows}images/2.png,4\n")
    with pytest.raises(ConfigError, match="category 4 is outside"):
        load(listed, skip_bad_rows=True)
    (listed / "train.csv").write_text(f"{HEAD}gone.png,0\n")
    with pytest.raises(ConfigError, match="not one picture in split train"):
        load(listed, skip_bad_rows=True)


def test_a_list_in_another_encoding(listed: Path) -> None:
    """Not UTF-8 is told with its line."""
    (listed / "train.csv").write_bytes(f"{HEAD}images/0.png,0\nimages/1.png,厨余垃圾-a\n".encode("gb18030"))
    with pytest.raises(ConfigError, match=r"train.csv:3: not UTF-8"):
        load(listed)


def test_two_lists_of_one_split(listed: Path) -> None:
    """val.csv beside validation.csv: which one?"""
    (listed / "val.csv").write_text(f"{HEAD}images/2.png,1\n")
    with pytest.raises(ConfigError, match=r"both val.csv and validation.csv"):
        load(listed)


def test_damaged_picture_is_told_with_its_row(listed: Path) -> None:
    """A row whose file is no picture names list, line and file."""
    (listed / "images" / "1.png").write_text("no picture")
    with pytest.raises(ConfigError, match=r"1 of 2 pictures are unreadable, first .*1.png: train.csv:3: "):
        load(listed)
