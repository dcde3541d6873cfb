"""What a model's answers are worth, from probabilities and truth alone; pure numpy, every number 0..1 unless said.

Categories stand in the order of `Category`. The bin does not sort what it is unsure of: risk-coverage tells what share of items
stays at each confidence, and how many of those are wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.domain import Category

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydantic import JsonValue

CATEGORIES = tuple(Category)
ECE_BINS = 15
"""Guo et al. 2017, On Calibration of Modern Neural Networks."""
LEAST_PROBABILITY = 1e-12
"""Keeps the logarithm finite."""
CONFIDENCES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)

Cost = Mapping[Category, Mapping[Category, float]]
"""cost[TRUE][SORTED]; a missing one (the diagonal) costs nothing."""


@dataclass(frozen=True, slots=True)
class CategoryMetrics:
    """How well the four categories are told apart on N items."""

    count: int
    accuracy: float
    confusion: NDArray[np.int64]
    """4 x 4: row is the truth, column what the model said."""
    ece: float
    risk_coverage: tuple[tuple[float, float, float | None], ...]
    """(least confidence, share of items kept, share of those that are wrong; None where none is kept)."""
    cost: float | None
    """Mean price of an item when each is sorted where its expected cost is least; None without a cost matrix."""

    @property
    def recall(self) -> dict[Category, float | None]:
        """Share of each category's items that were recognised; None where there are none."""
        return _shares(self.confusion, self.confusion.sum(1))

    @property
    def precision(self) -> dict[Category, float | None]:
        """Purity of each stream: share of what went in that belongs there; None where nothing went in."""
        return _shares(self.confusion, self.confusion.sum(0))

    @property
    def macro_recall(self) -> float:
        """Mean recall of the categories that occur."""
        found = [x for x in self.recall.values() if x is not None]
        return sum(found) / len(found) if found else 0.0

    def to_json(self) -> dict[str, JsonValue]:
        """The same for a file or a script, rounded to four places."""
        return {
            "items": self.count,
            "category_accuracy": round(self.accuracy, 4),
            "macro_recall": round(self.macro_recall, 4),
            "recall": {k.value: None if v is None else round(v, 4) for k, v in self.recall.items()},
            "precision": {k.value: None if v is None else round(v, 4) for k, v in self.precision.items()},
            "confusion_rows_true": {c.value: self.confusion[i].tolist() for i, c in enumerate(CATEGORIES)},
            "ece": round(self.ece, 4),
            "risk_coverage": [
                {"min_confidence": t, "coverage": round(c, 4), "risk": None if r is None else round(r, 4)}
                for t, c, r in self.risk_coverage
            ],
            "expected_cost": None if self.cost is None else round(self.cost, 4),
        }


def measure(probs: NDArray[np.float64], truth: NDArray[np.int64], cost: Cost | None = None) -> CategoryMetrics:
    """Judge category probabilities (N x 4) against the true categories (N, index in `Category`); N must not be 0."""
    said, confidence = probs.argmax(1), probs.max(1)
    correct = said == truth
    return CategoryMetrics(
        count=len(truth),
        accuracy=float(correct.mean()),
        confusion=confusion(truth, said, len(CATEGORIES)),
        ece=ece(confidence, correct),
        risk_coverage=risk_coverage(confidence, correct),
        cost=None if cost is None else expected_cost(probs, truth, cost),
    )


def log_loss(probs: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """Mean negative log-likelihood of the true column; probs N x C, truth N."""
    return float(-np.log(np.maximum(probs[np.arange(len(truth)), truth], LEAST_PROBABILITY)).mean())


def confusion(truth: NDArray[np.int64], said: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Counts, size x size; row is the truth, column what was said."""
    table = np.zeros((size, size), dtype=np.int64)
    np.add.at(table, (truth, said), 1)
    return table


def ece(confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = ECE_BINS) -> float:
    """Expected calibration error: mean distance between confidence and accuracy over equal bins, weighted by their items."""
    place = bin_of(confidence, bins)
    gaps = np.bincount(place, weights=confidence - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def bin_of(confidence: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """Which of the equal bins of 0..1 each confidence lies in; 1 lies in the last."""
    return np.clip((confidence * bins).astype(np.int64), 0, bins - 1)


def risk_coverage(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], least: tuple[float, ...] = CONFIDENCES
) -> tuple[tuple[float, float, float | None], ...]:
    """For each least confidence: share of the items at or above it, and the share of those that are wrong."""
    points = []
    for threshold in least:
        kept = confidence >= threshold
        risk = float(1 - correct[kept].mean()) if kept.any() else None
        points.append((threshold, float(kept.mean()), risk))
    return tuple(points)


def top_k(probs: NDArray[np.float64], truth: NDArray[np.int64], k: int) -> float:
    """Share of items whose true label is among the k most probable ones; the lower index first where they tie."""
    best = np.argsort(-probs, axis=1, kind="stable")[:, :k]
    return float((best == truth[:, None]).any(1).mean())


def expected_cost(probs: NDArray[np.float64], truth: NDArray[np.int64], cost: Cost) -> float:
    """Mean price when every item goes where its expected cost is least (ties: the more probable category)."""
    matrix = cost_matrix(cost)
    price = probs @ matrix
    sorted_as = np.lexsort((-probs, price), axis=1)[:, 0]
    return float(matrix[truth, sorted_as].mean())


def cost_matrix(cost: Cost) -> NDArray[np.float64]:
    """4 x 4: price of sorting row as column; the diagonal costs nothing."""
    return np.array([[0.0 if t is s else cost[t].get(s, 0.0) for s in CATEGORIES] for t in CATEGORIES])


def _shares(table: NDArray[np.int64], totals: NDArray[np.int64]) -> dict[Category, float | None]:
    return {c: float(table[i, i] / totals[i]) if totals[i] else None for i, c in enumerate(CATEGORIES)}
