"""What the bin would have done with judged pictures: the policy's own rules, purity, cost, doubt and several frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from bin_daemon.config.settings import LidSettings, PolicySettings
from bin_daemon.domain import Category
from bin_daemon.model.familiarity import Familiarity
from bin_daemon.policy import DEFAULT_COST
from bin_daemon.training.dataset import Picture
from bin_daemon.training.frames import of_groups, of_views
from bin_daemon.training.metrics import CATEGORIES, expected_cost
from bin_daemon.training.sorting import KEPT, Doubt, Sorted, cost_curve, sort_items
from bin_daemon.training.strange import doubt_of, measure_strange

LIDS = tuple(LidSettings(lid=i + 1, category=c) for i, c in enumerate(CATEGORIES))
RECYCLABLE, KITCHEN, HAZARDOUS, OTHER = range(4)


def sort(probs: list[list[float]], truth: list[int], settings: PolicySettings, doubt: Doubt | None = None) -> Sorted:
    """Over one lid for each category."""
    return sort_items(np.array(probs), np.array(truth), settings, LIDS, DEFAULT_COST, doubt)


def test_the_policy_decides() -> None:
    """Least expected cost, not most probable; below min_probability doubt goes to other; prices are the matrix's."""
    probs = [[0.97, 0.01, 0.01, 0.01], [0.0, 0.55, 0.45, 0.0], [0.4, 0.3, 0.0, 0.3], [0.02, 0.96, 0.01, 0.01]]
    settings = PolicySettings(min_probability={Category.HAZARDOUS: 0.4})
    found = sort(probs, [RECYCLABLE, KITCHEN, RECYCLABLE, HAZARDOUS], settings)
    assert found.lid.tolist() == [RECYCLABLE, HAZARDOUS, OTHER, KITCHEN]
    assert found.reason == ("sorted", "sorted", "unsure_probability", "sorted")
    assert found.price.tolist() == [0.0, 2.0, 1.0, 10.0]
    assert found.unsure.tolist() == [False, False, True, False]
    assert found.sure_frac == 0.75
    assert found.wrong_of_sure == pytest.approx(2 / 3)
    assert found.purity(Category.RECYCLABLE) == 1.0
    assert found.purity(Category.KITCHEN) == 0.0


def test_doubt_may_stay_on_the_tray() -> None:
    """With unsure_category none, and for a category without a lid, nothing opens, nothing is mixed up, nothing is paid."""
    settings = PolicySettings.model_validate({"unsure_category": "none"})
    found = sort([[0.4, 0.3, 0.0, 0.3]], [KITCHEN], settings)
    assert (found.lid.tolist(), found.price.tolist()) == ([KEPT], [0.0])
    told: dict[str, Any] = found.to_json()
    assert told["kept_on_tray"] == 1.0
    assert told["went_in_rows_true"]["kitchen"] == {
        "recyclable": 0,
        "kitchen": 0,
        "hazardous": 0,
        "other": 0,
        "tray": 1,
    }
    assert told["wrong_of_sure"] is None
    only_other = sort_items(
        np.array([[0, 0, 0.99, 0.01]]), np.array([HAZARDOUS]), PolicySettings(), LIDS[3:], DEFAULT_COST
    )
    assert only_other.reason == ("no_lid",)
    assert only_other.lid.tolist() == [KEPT]


def test_strange_items_are_unsure() -> None:
    """What the model calls unfamiliar is unsure, however probable."""
    doubt = Doubt(np.array([0.9, 0.001]), np.array([True, False]))
    found = sort([[0.99, 0.01, 0.0, 0.0]] * 2, [RECYCLABLE] * 2, PolicySettings(), doubt)
    assert found.reason == ("sorted", "unsure_unfamiliar")


def test_cost_curve_by_hand() -> None:
    """At no confidence asked for it is the expected cost; at 1 everything goes where doubt goes, or stays for nothing."""
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(4) * 0.5, 50)
    truth = rng.integers(0, 4, 50)
    curve = cost_curve(probs, truth, DEFAULT_COST, Category.OTHER)
    assert curve[0] == pytest.approx((0.25, expected_cost(probs, truth, DEFAULT_COST), 0.0))
    all_other = np.mean([0.0 if t == OTHER else DEFAULT_COST[CATEGORIES[t]][Category.OTHER] for t in truth])
    assert curve[-1] == pytest.approx((1.0, all_other, 1.0))
    assert cost_curve(probs, truth, DEFAULT_COST, None)[-1] == (1.0, 0.0, 1.0)
    unsure = [x for _, _, x in curve]
    assert unsure == sorted(unsure)


def test_averaging_views_by_hand() -> None:
    """One view of three outvoted: right together, agreement two thirds; a wrong item is told apart."""
    good, bad = [0.8, 0.2, 0.0, 0.0], [0.3, 0.7, 0.0, 0.0]
    found = of_views(np.array([[good, good, bad], [bad, bad, bad]]), np.array([0, 0]))
    assert (found.items, found.frames) == (2, 6)
    assert found.single_accuracy == pytest.approx(2 / 6)
    assert found.averaged_accuracy == 0.5
    assert found.agreement == pytest.approx((2 / 3 + 1) / 2)
    assert found.agreement_when_wrong == 1.0


def test_groups_of_one_object(tmp_path: object) -> None:
    """Pictures of one group and label are one item; single ones and those without a group are none."""
    pictures = [Picture(None, 0, group=g) for g in ("a", "", "a", "b")]  # type: ignore[arg-type] # no file is read
    sums = np.array([[0.9, 0.1, 0, 0], [1, 0, 0, 0], [0.2, 0.8, 0, 0], [1, 0, 0, 0]])
    found = of_groups(sums, np.zeros(4, np.int64), pictures)
    assert found is not None
    assert (found.items, found.frames, found.single_accuracy, found.averaged_accuracy) == (1, 2, 0.5, 1.0)
    assert of_groups(sums, np.zeros(4, np.int64), [Picture(None, 0)] * 4) is None  # type: ignore[arg-type] # as above


@pytest.fixture
def logits() -> tuple[np.ndarray, np.ndarray]:
    """100 known items with one high logit, 60 strange ones without; they overlap."""
    rng = np.random.default_rng(2)
    known = rng.normal(0, 1, (100, 5)).astype(np.float32)
    known[np.arange(100), rng.integers(0, 5, 100)] += 4
    return known, rng.normal(0, 1.5, (60, 5)).astype(np.float32)


def test_strange_pictures_against_known(logits: tuple[np.ndarray, np.ndarray]) -> None:
    """AUROC is scikit-learn's, the flagged share is the bundle's threshold's, and 95 % of the known pass at the last number."""
    known, strange = logits
    rule = Familiarity(score="max_probability", threshold=0.6, coverage=0.95, quantiles=(0.2, 0.6, 1.0))
    found = measure_strange(known, np.ones(100, dtype=bool), 1.0, rule, strange)
    assert found is not None
    assert found.unfamiliar is not None
    best = [np.exp(x - x.max(1, keepdims=True)) for x in (known, strange)]
    top = [1 / x.sum(1) for x in best]
    truth = np.r_[np.ones(100), np.zeros(60)]
    assert found.unfamiliar.auroc["max_probability"] == pytest.approx(roc_auc_score(truth, np.concatenate(top)))
    assert found.unfamiliar.flagged == pytest.approx((top[1] < 0.6).mean())
    assert found.flagged == pytest.approx((top[0] < 0.6).mean())
    assert found.unfamiliar.passed_at_95["max_probability"] == pytest.approx(
        (top[1] >= np.quantile(top[0], 0.05)).mean()
    )
    assert 0.5 < found.unfamiliar.auroc["energy"] < 1


def test_a_model_that_cannot_tell_strange_items(logits: tuple[np.ndarray, np.ndarray]) -> None:
    """Without a threshold nothing is flagged and nothing doubted; strange pictures are compared all the same."""
    known, strange = logits
    assert measure_strange(known, np.ones(100, dtype=bool), 1.0, None, None) is None
    found = measure_strange(known, np.ones(100, dtype=bool), 1.0, None, strange)
    assert found is not None
    assert found.unfamiliar is not None
    assert (found.known, found.flagged, found.unfamiliar.flagged) == (None, None, None)
    assert doubt_of(known, 1.0, None) == Doubt()
