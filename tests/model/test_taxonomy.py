"""The 265 labels: order, categories, glosses, near-duplicates, and how a site names one of them."""

from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path

import pytest

from bin_daemon.domain import Category
from bin_daemon.errors import ConfigError, ModelError
from bin_daemon.model.label_lookup import _glosses, count_categories, find_index, search
from bin_daemon.model.label_names import PREFIXES, split
from bin_daemon.model.labels import CategorySums
from bin_daemon.model.taxonomy import find_labels, labels265

SHARED = Path(os.environ.get("BIN_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "labels265.csv"
LABELS = labels265()
RANGES = {
    Category.KITCHEN: range(52),
    Category.RECYCLABLE: range(52, 201),
    Category.OTHER: range(201, 251),
    Category.HAZARDOUS: range(251, 265),
}


def test_the_order_is_the_index() -> None:
    """265 labels, each knows its index."""
    assert [x.label265 for x in LABELS] == list(range(265))


def test_categories_have_their_ranges_and_counts() -> None:
    """Kitchen 52, recyclable 149, other 50, hazardous 14, each in one piece."""
    assert count_categories(LABELS) == {"recyclable": 149, "kitchen": 52, "hazardous": 14, "other": 50}
    for category, indexes in RANGES.items():
        assert {LABELS[i].category for i in indexes} == {category}


def test_every_label_is_prefix_and_item() -> None:
    """The prefix is the category's, for all but one in the very spelling; that one is 250."""
    prefixes = {category: prefix for prefix, category in PREFIXES.items()}
    assert [i for i, x in enumerate(LABELS) if not x.label.startswith(f"{prefixes[x.category]}-")] == [250]
    assert [split(x.label)[0] for x in LABELS] == [x.category for x in LABELS]
    assert LABELS[250].label == "其它垃圾-陶瓷"


def test_items_are_unique_but_for_one() -> None:
    """果壳 is kitchen waste and other waste."""
    counted = Counter(split(x.label)[1] for x in LABELS)
    assert [name for name, n in counted.items() if n > 1] == ["果壳"]
    assert [i for i, x in enumerate(LABELS) if split(x.label)[1] == "果壳"] == [24, 225]


@pytest.mark.skipif(not SHARED.exists(), reason="shared data not present")
def test_it_agrees_with_the_published_list() -> None:
    """Index, label and category of all 265 rows."""
    with SHARED.open(encoding="utf-8-sig", newline="") as stream:
        rows = [(int(r["index"]), r["label"], r["category"]) for r in csv.DictReader(stream)]
    assert rows == [(x.label265, x.label, x.category.value) for x in LABELS]


def test_every_gloss_tells_its_label_apart() -> None:
    """Plain ASCII English, all different: a technician finds one label by it."""
    glosses = [x.gloss for x in LABELS]
    assert all(x.isascii() and x.strip() == x and x for x in glosses)
    assert len(set(glosses)) == 265


@pytest.mark.parametrize(
    ("index", "word"),
    [
        (0, "congee"),
        (22, "seeds"),
        (53, "thermos"),
        (67, "power bank"),
        (103, "earmuffs"),
        (132, "fire extinguisher"),
        (144, "hand warmer"),
        (149, "shot"),
        (208, "straw hat"),
        (245, "pregnancy test"),
        (258, "accumulator"),
        (264, "nail polish"),
    ],
)
def test_glosses_stand_beside_their_own_label(index: int, word: str) -> None:
    """Spot checks along the table: a row too many or too few would shift them."""
    assert word in LABELS[index].gloss


def test_near_duplicates_are_mutual() -> None:
    """If a picture of 183 may be called 184, then the other way round; the known groups are in."""
    for i, info in enumerate(LABELS):
        assert i not in info.similar
        assert all(i in LABELS[j].similar for j in info.similar)
    for group in [{183, 184}, {26, 49}, {55, 56, 57, 59}, {60, 117, 118}, {209, 234, 250}, {24, 225}]:
        for i in group:
            assert group - {i} <= set(LABELS[i].similar)


def test_class_names_become_labels_in_their_order() -> None:
    """A model with its own order of some labels, one in another spelling, one of the site's own."""
    found = find_labels(["有害垃圾-电池", " 其他垃圾-陶瓷", "可回收垃圾-包", "厨余垃圾-香蕉"])
    assert [x.label265 for x in found] == [252, 250, 52, None]
    assert found[1].label == "其它垃圾-陶瓷"
    assert (found[3].label, found[3].category, found[3].gloss) == ("厨余垃圾-香蕉", Category.KITCHEN, "")


@pytest.mark.parametrize("name", ["苹果", "banana", "", "厨余垃圾-", "垃圾-苹果"])
def test_a_class_name_without_a_known_prefix_is_refused(name: str) -> None:
    """Its category would be a guess; the error names it and its index."""
    with pytest.raises(ModelError, match=f"class 1, {name!r}") as caught:
        find_labels(["厨余垃圾-苹果", name])
    assert "label,category" in caught.value.hint


@pytest.mark.parametrize(
    ("key", "index"),
    [
        ("可回收物-充电宝", 67),
        ("67", 67),
        ("067", 67),
        ("充电宝", 67),
        ("power bank", 67),
        ("Power Bank", 67),
        ("其他垃圾-陶瓷", 250),
        ("其它垃圾-陶瓷", 250),
        ("陶瓷", 250),
        ("其它垃圾-果壳", 225),
        ("U型回形针", 249),
        ("Ｕ型回形针", 249),  # full-width, as Chinese keyboards write it
        ("battery", 252),
        ("coin battery", 255),
        ("shot", 149),
    ],
)
def test_a_site_may_name_a_label_in_many_ways(key: str, index: int) -> None:
    """Label, index, other spelling, item, gloss and parts of it, whatever the case."""
    assert find_index(key, LABELS) == index


def test_every_item_but_one_and_every_gloss_is_enough() -> None:
    """No whole gloss is a part of another, no item another's gloss; so 263 items and 265 glosses find their own label."""
    words = Counter(word for x in LABELS for word in {split(x.label)[1], *_glosses(x)})
    assert [x.gloss for x in LABELS if words[x.gloss.casefold()] != 1] == []
    assert [x.label for x in LABELS if words[split(x.label)[1]] != 1] == [LABELS[24].label, LABELS[225].label]
    assert all(find_index(split(LABELS[i].label)[1], LABELS) == i for i in range(0, 265, 13))


def test_an_ambiguous_item_names_both_candidates() -> None:
    """果壳 alone would be a coin's toss between two lids."""
    with pytest.raises(ConfigError, match=r"果壳.* 24 .*kitchen.* 225 .*other"):
        find_index("果壳", LABELS)


@pytest.mark.parametrize(
    ("key", "near"), [("手机壳", "162"), ("batery", "252"), ("265", "0 to 264"), ("qqqq", "model labels")]
)
def test_an_unknown_one_is_told_what_is_near(key: str, near: str) -> None:
    """A slip of the pen finds its label in the hint."""
    with pytest.raises(ConfigError, match="no label or index") as caught:
        find_index(key, LABELS)
    assert near in caught.value.hint


def test_site_rules_change_the_sums() -> None:
    """Power banks and fire extinguishers are hazardous at this site, ceramics recyclable; all else stays."""
    rules = {"充电宝": Category.HAZARDOUS, "132": Category.HAZARDOUS, "其他垃圾-陶瓷": Category.RECYCLABLE}
    changed = {i: c for i, c in enumerate(CategorySums(LABELS, rules).categories) if c is not LABELS[i].category}
    assert changed == {67: Category.HAZARDOUS, 132: Category.HAZARDOUS, 250: Category.RECYCLABLE}


def test_two_rules_for_one_label_must_agree() -> None:
    """Which of them won would depend on the order of lines."""
    assert CategorySums(LABELS, {"42": Category.OTHER, "苹果": Category.OTHER}).categories[42] is Category.OTHER
    with pytest.raises(ConfigError, match=r"'42' and '苹果' are both label 42"):
        CategorySums(LABELS, {"42": Category.OTHER, "苹果": Category.RECYCLABLE})


def test_search_finds_words_in_either_language() -> None:
    """By part of the name, part of the gloss in any case, or the index."""
    assert search("电池", LABELS) == [252, 253, 255, 258]
    assert search("BATTERY", LABELS) == [252, 253, 255, 258]
    assert search("42", LABELS) == [42]
    assert search("no such thing", LABELS) == []
