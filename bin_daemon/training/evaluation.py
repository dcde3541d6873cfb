"""What was measured of one model on one split, whole: for a script, for a file and for the pages made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.training.calibration import aurc, reliability, risk_curve
from bin_daemon.training.metrics import CATEGORIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pydantic import JsonValue

    from bin_daemon.model.bundle import Bundle, LabelInfo
    from bin_daemon.training.dataset import Picture
    from bin_daemon.training.fine import FineMetrics
    from bin_daemon.training.frames import FrameMetrics
    from bin_daemon.training.metrics import CategoryMetrics
    from bin_daemon.training.sorting import Sorted
    from bin_daemon.training.strange import StrangeMetrics

REPORT_FORMAT = 2


@dataclass(frozen=True, slots=True)
class Judged:
    """Every picture with what was said of it: N rows."""

    pictures: tuple[Picture, ...]
    names: tuple[str, ...]
    """The data set's label of each picture."""
    truth: NDArray[np.int64]
    """Category, index in `Category`."""
    sums: NDArray[np.float64]
    """N x 4, category probabilities at the bundle's temperature."""
    sums_before: NDArray[np.float64]
    """The same at temperature 1."""
    said: NDArray[np.int64]
    """The model's most probable label, and ``share``, its probability."""
    share: NDArray[np.float64]
    sorted: Sorted
    familiarity: NDArray[np.float64] | None

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the most probable category is the true one."""
        return np.asarray(self.sums.argmax(1) == self.truth)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured. ``top1`` and ``top5`` are of the pictures whose label the model has."""

    bundle: Bundle
    engine: str
    split: str
    trays: bool
    metrics: CategoryMetrics
    ece_before_temperature: float
    top1: float | None
    top5: float | None
    labels_shared: int
    matched_by: str
    fine_items: int
    """Pictures whose label the model has."""
    fine: FineMetrics | None
    judged: Judged
    strange: StrangeMetrics | None
    frames: FrameMetrics | None
    cost: NDArray[np.float64]
    """4 x 4, the prices that were used: row is the truth, column where it went."""
    cost_curve: tuple[tuple[float, float, float], ...]
    """(least confidence asked for, mean price, share unsure), see `bin_daemon.training.sorting.cost_curve`."""
    bad: tuple[str, ...]

    @property
    def model_id(self) -> str:
        """The bundle's id."""
        return self.bundle.metadata.id

    @property
    def labels(self) -> Sequence[LabelInfo]:
        """The model's labels."""
        return self.bundle.metadata.labels

    def to_json(self) -> dict[str, JsonValue]:
        """For a script or ``report.json``; nothing in it tells when or how fast, so that equal answers give equal reports."""
        metadata, judged = self.bundle.metadata, self.judged
        confidence = judged.sums.max(1)
        before = judged.sums_before
        return {
            "report_format": REPORT_FORMAT,
            "model": metadata.id,
            "model_name": metadata.name or metadata.id,
            "model_sha256": self.bundle.sha256,
            "engine": self.engine,
            "temperature": metadata.temperature,
            "split": self.split,
            "trays": self.trays,
            **self.metrics.to_json(),
            "ece_before_temperature": round(self.ece_before_temperature, 4),
            "aurc": round(aurc(confidence, judged.correct), 4),
            "labels_shared": self.labels_shared,
            "labels_matched_by": self.matched_by,
            "fine_items": self.fine_items,
            "top1": _rounded(self.top1),
            "top5": _rounded(self.top5),
            "fine": self.fine.to_json(self.labels) if self.fine else None,
            "policy": judged.sorted.to_json(),
            "cost_matrix_rows_true": _matrix(self.cost),
            "familiarity": self.strange.to_json() if self.strange else None,
            "frames": self.frames.to_json() if self.frames else None,
            "reliability": {
                "before_temperature": [
                    x.to_json() for x in reliability(before.max(1), before.argmax(1) == judged.truth)
                ],
                "after_temperature": [x.to_json() for x in reliability(confidence, judged.correct)],
            },
            "risk_coverage_curve": [
                {"coverage": round(c, 4), "risk": round(r, 4)} for c, r in risk_curve(confidence, judged.correct)
            ],
            "cost_curve": [
                {"min_confidence": least, "cost": round(c, 4), "unsure": round(u, 4)} for least, c, u in self.cost_curve
            ],
            "unreadable": list(self.bad),
        }


def _matrix(cost: NDArray[np.float64]) -> JsonValue:
    return {
        t.value: {s.value: float(price) for s, price in zip(CATEGORIES, row, strict=True)}
        for t, row in zip(CATEGORIES, cost, strict=True)
    }


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
