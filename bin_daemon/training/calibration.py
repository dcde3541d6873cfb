"""Does a confidence mean what it says, and what would it buy to sort only the confident ones? Pure numpy, all values 0..1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.training.metrics import ECE_BINS, bin_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydantic import JsonValue

CURVE_POINTS = 100
"""Of a risk-coverage curve in a report: one for each percent of coverage."""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The items whose confidence lies in one bin; ``confidence`` and ``accuracy`` are None where there is none."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None

    def to_json(self) -> dict[str, JsonValue]:
        """Rounded to four places."""
        return {
            "low": round(self.low, 4),
            "high": round(self.high, 4),
            "items": self.count,
            "confidence": None if self.confidence is None else round(self.confidence, 4),
            "accuracy": None if self.accuracy is None else round(self.accuracy, 4),
        }


def reliability(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = ECE_BINS
) -> tuple[ReliabilityBin, ...]:
    """Mean confidence and accuracy in equal bins: the diagram whose mean gap is the calibration error."""
    place = bin_of(confidence, bins)
    counts = np.bincount(place, minlength=bins)
    said = np.bincount(place, weights=confidence, minlength=bins)
    right = np.bincount(place, weights=correct, minlength=bins)
    return tuple(
        ReliabilityBin(
            i / bins, (i + 1) / bins, int(n), float(said[i] / n) if n else None, float(right[i] / n) if n else None
        )
        for i, n in enumerate(counts)
    )


def selective_risk(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of wrong ones among the n most confident items, for n = 1 to N.

    Items of equal confidence have no order: each counts as wrong as they are on average, so that no order of the files shows.
    """
    _, tie = np.unique(confidence, return_inverse=True)
    mean_wrong = np.bincount(tie, weights=~correct) / np.bincount(tie)
    wrong = mean_wrong[tie][np.argsort(-confidence, kind="stable")]
    risk: NDArray[np.float64] = np.cumsum(wrong) / np.arange(1, len(wrong) + 1)
    return risk


def aurc(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> float:
    """Area under the risk-coverage curve: mean of the selective risk over all coverages (Geifman et al. 2019); 0 is best."""
    return float(selective_risk(confidence, correct).mean())


def risk_curve(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], points: int = CURVE_POINTS
) -> tuple[tuple[float, float], ...]:
    """(coverage, share of those that are wrong) at up to ``points`` equal steps of coverage, least first."""
    risk = selective_risk(confidence, correct)
    counts = np.unique(np.ceil(np.linspace(0, len(risk), min(points, len(risk)) + 1)[1:]).astype(int))
    return tuple((float(n / len(risk)), float(risk[n - 1])) for n in counts)


def auroc(known: NDArray[np.float64], strange: NDArray[np.float64]) -> float:
    """Chance that a known item scores above a strange one, ties half: 1 is perfect, 0.5 is guessing; neither may be empty."""
    ordered = np.sort(strange)
    below = np.searchsorted(ordered, known, side="left")
    equal = np.searchsorted(ordered, known, side="right") - below
    return float((below + equal / 2).mean() / len(strange))
