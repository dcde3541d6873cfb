"""How well the fine labels are told apart: precision, recall, F1 and support as mmcls 0.25 counts them, and what is confused.

mmcls gives percent; here all shares are 0..1. Like there, a class that was never said has precision 0, one that never occurs has
recall 0, and the macro mean is over all classes of the model. Where few of them occur that mean says little, so a second one is
over the classes that do occur.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.training.metrics import confusion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pydantic import JsonValue

    from bin_daemon.model.bundle import LabelInfo

EPS = float(np.finfo(np.float32).eps)
"""mmcls's guard against 0 / 0 in F1, in percent: hence divided by 100 here."""
PAIRS = 20
"""Most confused pairs that are told."""


@dataclass(frozen=True, slots=True)
class FineMetrics:
    """Per class arrays of length L, in the model's order."""

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: NDArray[np.int64]
    """Pictures that are of the class."""
    confusion: NDArray[np.int64]
    """L x L: row is the truth, column what the model said."""

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Classes that occur."""
        return np.asarray(self.support > 0)

    def macro(self, *, seen_only: bool = False) -> dict[str, float]:
        """Unweighted means over all classes, as mmcls's average_mode='macro', or over those that occur."""
        chosen = self.seen if seen_only else np.ones(len(self.support), dtype=bool)
        parts = {"precision": self.precision, "recall": self.recall, "f1": self.f1}
        return {name: float(x[chosen].mean()) for name, x in parts.items()}

    def confused(self, count: int = PAIRS) -> tuple[tuple[int, int, int], ...]:
        """The most frequent mistakes: (truth, said, how often), most first, then by index."""
        wrong = self.confusion.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:count]
        rows, columns = np.unravel_index(order, wrong.shape)
        return tuple((int(t), int(s), int(wrong[t, s])) for t, s in zip(rows, columns, strict=True) if wrong[t, s])

    def to_json(self, labels: Sequence[LabelInfo]) -> dict[str, JsonValue]:
        """Macro means, every class, and the most confused pairs; rounded to four places."""
        return {
            "macro": {k: round(v, 4) for k, v in self.macro().items()},
            "macro_of_occurring": {k: round(v, 4) for k, v in self.macro(seen_only=True).items()},
            "support": int(self.support.sum()),
            "classes": [self._class(i, info) for i, info in enumerate(labels)],
            "confused": [
                {
                    "truth": labels[t].label,
                    "truth_gloss": labels[t].gloss,
                    "said": labels[s].label,
                    "said_gloss": labels[s].gloss,
                    "times": n,
                    "of": int(self.support[t]),
                }
                for t, s, n in self.confused()
            ],
        }

    def _class(self, index: int, info: LabelInfo) -> JsonValue:
        return {
            "index": index,
            "label": info.label,
            "gloss": info.gloss,
            "category": info.category.value,
            "precision": round(float(self.precision[index]), 4),
            "recall": round(float(self.recall[index]), 4),
            "f1": round(float(self.f1[index]), 4),
            "support": int(self.support[index]),
        }


def measure_fine(scores: NDArray[np.float64], truth: NDArray[np.int64]) -> FineMetrics:
    """Scores N x L (the highest is what was said) and the true class of each picture."""
    return fine_of(confusion(truth, scores.argmax(1), scores.shape[1]))


def fine_of(table: NDArray[np.int64]) -> FineMetrics:
    """From a confusion matrix, rows true."""
    right = np.diag(table).astype(np.float64)
    support = table.sum(1)
    precision, recall = right / np.maximum(table.sum(0), 1), right / np.maximum(support, 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, EPS / 100)
    return FineMetrics(precision, recall, f1, support, table)
