"""Labels: probabilities, category sums and the site's own rules."""

from __future__ import annotations

import numpy as np
import pytest

from bin_daemon.domain import Category, LabelScore
from bin_daemon.errors import ConfigError, ModelError
from bin_daemon.model.bundle import LabelInfo
from bin_daemon.model.labels import CategorySums, probabilities

LABELS = (
    LabelInfo(label="bottle", category=Category.RECYCLABLE),
    LabelInfo(label="power bank", category=Category.RECYCLABLE),
    LabelInfo(label="apple", category=Category.KITCHEN),
    LabelInfo(label="1", category=Category.OTHER),
)
SHARES = np.array([[0.4, 0.3, 0.2, 0.1]])


def test_softmax_is_exact_and_survives_huge_logits() -> None:
    """Known values, and no overflow at 1e4."""
    assert probabilities(np.array([[0, np.log(3)]], np.float32), 1.0)[0] == pytest.approx([0.25, 0.75], abs=1e-7)
    assert probabilities(np.array([[1e4, 0]], np.float32), 1.0)[0].tolist() == [1.0, 0.0]


def test_temperature_divides_the_logits() -> None:
    """Temperature 2 halves them."""
    logits = np.array([[0, 2 * np.log(3)]], np.float32)
    assert probabilities(logits, 2.0)[0] == pytest.approx([0.25, 0.75], abs=1e-7)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_an_error(bad: float) -> None:
    """A broken network must not open a lid with a confident-looking number."""
    with pytest.raises(ModelError, match="NaN or infinity"):
        probabilities(np.array([[0, bad]], np.float32), 1.0)


def test_category_is_the_sum_of_its_labels() -> None:
    """In the order of `Category`: recyclable, kitchen, hazardous, other."""
    assert CategorySums(LABELS).sums(SHARES)[0] == pytest.approx([0.7, 0.2, 0.0, 0.1])


def test_site_rules_by_label_and_by_index() -> None:
    """A power bank is hazardous here, by name or by number; a label that looks like a number is taken as a label."""
    for key in ("power bank", "01"):
        rules = {key: Category.HAZARDOUS}
        assert CategorySums(LABELS, rules).sums(SHARES)[0] == pytest.approx([0.4, 0.2, 0.3, 0.1])
    assert CategorySums(LABELS, {"1": Category.KITCHEN}).categories[3] is Category.KITCHEN


@pytest.mark.parametrize(
    ("key", "near"), [("powerbank", "power bank"), ("4", "0 to 3"), ("-7", "0 to 3"), ("", "0 to 3")]
)
def test_a_rule_for_no_label_is_a_config_error(key: str, near: str) -> None:
    """A rule that does nothing would sort wrongly in silence; the hint names what is near."""
    with pytest.raises(ConfigError, match="label_overrides") as caught:
        CategorySums(LABELS, {key: Category.OTHER})
    assert near in caught.value.hint


def test_top_labels_best_first() -> None:
    """Ties keep the lower index first."""
    found = CategorySums(LABELS).top(np.array([0.25, 0.3, 0.25, 0.2]), 3)
    assert found == (LabelScore("power bank", 1, 0.3), LabelScore("bottle", 0, 0.25), LabelScore("apple", 2, 0.25))
