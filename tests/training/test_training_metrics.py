"""Metrics against numbers worked out by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    precision_score,
    recall_score,
    roc_auc_score,
    top_k_accuracy_score,
)

from bin_daemon.domain import Category
from bin_daemon.policy import DEFAULT_COST
from bin_daemon.training.calibration import aurc, auroc, reliability, risk_curve, selective_risk
from bin_daemon.training.metrics import CATEGORIES, ece, expected_cost, measure, risk_coverage, top_k
from bin_daemon.training.temperature import fit_temperature


@pytest.fixture
def answers() -> tuple[np.ndarray, np.ndarray]:
    """200 random probability rows and truths, about half of them right."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 4, 200)
    scores = rng.normal(0, 1, (200, 4))
    scores[np.arange(200), truth] += 1
    probs = np.exp(scores)
    return probs / probs.sum(1, keepdims=True), truth


def test_counts_equal_sklearn(answers: tuple[np.ndarray, np.ndarray]) -> None:
    """Accuracy, confusion, recall and precision are scikit-learn's."""
    probs, truth = answers
    found, said = measure(probs, truth), probs.argmax(1)
    assert found.accuracy == pytest.approx(accuracy_score(truth, said))
    assert (found.confusion == confusion_matrix(truth, said)).all()
    assert list(found.recall.values()) == pytest.approx(recall_score(truth, said, average=None))
    assert list(found.precision.values()) == pytest.approx(precision_score(truth, said, average=None))
    assert found.macro_recall == pytest.approx(recall_score(truth, said, average="macro"))
    assert top_k(probs, truth, 2) == pytest.approx(top_k_accuracy_score(truth, probs, k=2))


def test_calibration_error_by_hand() -> None:
    """Two bins: 0.9 said and half right, 0.6 said and all right: (2 * 0.4 + 2 * 0.4) / 4."""
    confidence = np.array([0.9, 0.9, 0.6, 0.6])
    assert ece(confidence, np.array([True, False, True, True]), bins=10) == pytest.approx(0.4)
    assert ece(np.array([1.0]), np.array([True])) == 0


def test_risk_coverage_by_hand() -> None:
    """A higher threshold keeps fewer items; the risk is of those kept, and None where none is."""
    points = risk_coverage(np.array([0.9, 0.8, 0.5, 0.4]), np.array([True, False, True, False]), (0.0, 0.5, 0.85, 0.95))
    assert [(least, coverage) for least, coverage, _ in points] == [(0.0, 1.0), (0.5, 0.75), (0.85, 0.25), (0.95, 0.0)]
    assert [risk for _, _, risk in points[:3]] == pytest.approx([0.5, 1 / 3, 0.0])
    assert points[3][2] is None


def test_expected_cost_prefers_the_cheap_mistake() -> None:
    """A likely kitchen item that may be a battery goes to hazardous: sent to kitchen it would cost 10 * 0.3 > 2 * 0.7."""
    probs = np.array([[0.0, 0.7, 0.3, 0.0]])
    kitchen, hazardous = CATEGORIES.index(Category.KITCHEN), CATEGORIES.index(Category.HAZARDOUS)
    assert expected_cost(probs, np.array([kitchen]), DEFAULT_COST) == DEFAULT_COST[Category.KITCHEN][Category.HAZARDOUS]
    assert expected_cost(probs, np.array([hazardous]), DEFAULT_COST) == 0


def test_a_category_without_items_has_no_recall() -> None:
    """Nothing is divided by zero, and the macro recall leaves the empty category out."""
    found = measure(np.array([[0.9, 0.1, 0.0, 0.0], [0.2, 0.8, 0.0, 0.0]]), np.array([0, 1]))
    assert found.recall[Category.HAZARDOUS] is None
    assert found.precision[Category.OTHER] is None
    assert found.macro_recall == 1.0
    assert found.to_json()["expected_cost"] is None


def test_reliability_adds_up_to_the_calibration_error(answers: tuple[np.ndarray, np.ndarray]) -> None:
    """The bins hold every item once, and their gaps weighted by items are the calibration error."""
    probs, truth = answers
    confidence, correct = probs.max(1), probs.argmax(1) == truth
    bins = reliability(confidence, correct)
    assert sum(x.count for x in bins) == 200
    assert all(x.low <= x.confidence <= x.high for x in bins if x.confidence is not None)
    gaps = sum(
        x.count * abs(x.confidence - x.accuracy) for x in bins if x.confidence is not None and x.accuracy is not None
    )
    assert gaps / 200 == pytest.approx(ece(confidence, correct))
    assert [x.accuracy for x in bins if not x.count] == [None] * sum(not x.count for x in bins)


def test_selective_risk_by_hand() -> None:
    """The surest first: right, wrong, right; the area is the mean of 0, 1/2, 1/3; the curve ends at all items."""
    confidence, correct = np.array([0.5, 0.9, 0.7]), np.array([True, True, False])
    assert selective_risk(confidence, correct) == pytest.approx([0, 1 / 2, 1 / 3])
    assert aurc(confidence, correct) == pytest.approx((0 + 1 / 2 + 1 / 3) / 3)
    assert np.array(risk_curve(confidence, correct)) == pytest.approx(
        np.array([(1 / 3, 0), (2 / 3, 1 / 2), (1, 1 / 3)])
    )
    assert len(risk_curve(np.linspace(0, 1, 14_612), np.ones(14_612, dtype=bool))) == 100


def test_equal_confidence_has_no_order() -> None:
    """Whatever order the files come in, items of equal confidence give the same risk."""
    correct = np.array([True, False, True, False])
    for order in (correct, correct[::-1]):
        assert selective_risk(np.full(4, 0.7), order) == pytest.approx([0.5] * 4)


def test_auroc_is_sklearn_s() -> None:
    """Also with ties, which count half."""
    rng = np.random.default_rng(4)
    known, strange = rng.integers(0, 10, 80).astype(float), rng.integers(-3, 7, 50).astype(float)
    truth = np.r_[np.ones(80), np.zeros(50)]
    assert auroc(known, strange) == pytest.approx(roc_auc_score(truth, np.r_[known, strange]))


def test_temperature_is_recovered() -> None:
    """Labels drawn from softmax(logits / 3) call for a temperature of 3, summed over categories as at run time."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 6, (4000, 6)).astype(np.float32)
    gumbel = rng.gumbel(size=logits.shape)
    labels = (logits / 3 + gumbel).argmax(1)
    assert fit_temperature(logits, labels, np.array([0, 0, 1, 1, 2, 3])) == pytest.approx(3, rel=0.1)
