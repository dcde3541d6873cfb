"""Fine labels: mmcls's numbers, confused pairs, and which label of the data set is which output of the model."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from bin_daemon.domain import Category
from bin_daemon.errors import ConfigError
from bin_daemon.model.bundle import LabelInfo
from bin_daemon.training.dataset import LabelRow
from bin_daemon.training.fine import FineMetrics, fine_of, measure_fine
from bin_daemon.training.matching import match
from bin_daemon.training.metrics import top_k


@pytest.fixture(scope="module")
def scored() -> tuple[np.ndarray, np.ndarray]:
    """40 softmax-like rows over 6 classes; class 4 is never said and class 5 never occurs."""
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 5, 40)
    scores = rng.random((40, 6))
    scores[:, 4] = 0
    scores[np.arange(40), np.where(truth == 4, 0, truth)] += 0.5
    return scores / scores.sum(1, keepdims=True), truth


@pytest.fixture(scope="module")
def found(scored: tuple[np.ndarray, np.ndarray]) -> FineMetrics:
    """What we make of it."""
    return measure_fine(*scored)


def test_numbers_are_those_of_mmcls(scored: tuple[np.ndarray, np.ndarray], found: FineMetrics) -> None:
    """Precision, recall, F1, support and accuracy as mmcls 0.25.0 gave them for the same rows, in percent."""
    precision = [61.53846153846154, 50.0, 66.66666666666666, 80.0, 0.0, 0.0]
    recall = [88.88888888888889, 42.857142857142854, 75.0, 80.0, 0.0, 0.0]
    f1 = [72.72727272727272, 46.153846153846146, 70.58823529411764, 80.0, 0.0, 0.0]
    assert found.precision * 100 == pytest.approx(precision, abs=1e-12)
    assert found.recall * 100 == pytest.approx(recall, abs=1e-12)
    assert found.f1 * 100 == pytest.approx(f1, abs=1e-12)
    assert found.support.tolist() == [9, 7, 8, 10, 6, 0]
    macro = {"precision": 0.4303418803418803, "recall": 0.4779100529100529, "f1": 0.4491155902920608}
    assert found.macro() == pytest.approx(macro, abs=1e-14)
    scores, truth = scored
    assert [100 * top_k(scores, truth, k) for k in (1, 5)] == [62.5, 85.0]


def test_macro_of_occurring_classes_is_sklearn_s(scored: tuple[np.ndarray, np.ndarray], found: FineMetrics) -> None:
    """Over the classes that occur, the macro means are scikit-learn's with the same labels."""
    scores, truth = scored
    expected = precision_recall_fscore_support(
        truth, scores.argmax(1), labels=range(5), average="macro", zero_division=0
    )
    assert list(found.macro(seen_only=True).values()) == pytest.approx(expected[:3])


def test_most_confused_pairs() -> None:
    """Most frequent first, the diagonal left out, pairs that never happened too."""
    found = fine_of(np.array([[5, 2, 0], [0, 9, 3], [1, 0, 0]]))
    assert found.confused() == ((1, 2, 3), (0, 1, 2), (2, 0, 1))
    assert found.confused(1) == ((1, 2, 3),)
    labels = [LabelInfo(label=x, category=Category.OTHER, gloss=x.upper()) for x in "abc"]
    told = found.to_json(labels)
    shown = [list(x.values()) for x in told["confused"]]  # type: ignore[union-attr] # JSON
    assert shown == [["b", "B", "c", "C", 3, 12], ["a", "A", "b", "B", 2, 7], ["c", "C", "a", "A", 1, 1]]


def rows(*labels: tuple[str, int | None]) -> list[LabelRow]:
    """Labels of a data set."""
    return [LabelRow(name, Category.OTHER, index) for name, index in labels]


def infos(*labels: tuple[str, int | None]) -> list[LabelInfo]:
    """Labels of a model."""
    return [LabelInfo(label=name, category=Category.OTHER, label265=index) for name, index in labels]


def test_matching_by_name_comes_first() -> None:
    """Same name in another order; the odd spelling of 250 is the same label; a stranger matches nothing."""
    found = match(rows(("b", 1), ("其他垃圾-陶瓷", 250), ("x", 0)), infos(("其它垃圾-陶瓷", 250), ("b", 7), ("y", 0)))
    assert (found.place.tolist(), found.how, found.shared) == ([1, 0, -1], "name", 2)


def test_matching_by_national_index() -> None:
    """No name is shared: the national index tells, but not one that two outputs of the model share."""
    found = match(rows(("p", 4), ("q", 4), ("r", 9), ("s", None)), infos(("a", 9), ("b", 4), ("c", 9), ("d", None)))
    assert (found.place.tolist(), found.how) == ([1, 1, -1, -1], "index")


def test_matching_by_category_alone() -> None:
    """Nothing is shared, or nobody wants it: no fine label counts."""
    for found in (
        match(rows(("a", None)), infos(("b", None), ("c", 1))),
        match(rows(("b", 1)), infos(("b", 1)), "category"),
    ):
        assert (found.place.tolist(), found.how, found.shared) == ([-1], "category", 0)


@pytest.mark.parametrize(("how", "message"), [("label", "--match label: no such way"), ("name", "share no label so")])
def test_impossible_matching_is_refused(how: str, message: str) -> None:
    """An unknown way, or one that matches nothing though it was asked for."""
    with pytest.raises(ConfigError, match=message) as caught:
        match(rows(("a", 1)), infos(("b", 1)), how)
    assert caught.value.hint
