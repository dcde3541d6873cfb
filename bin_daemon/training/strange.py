"""How well the model tells what it does not know: the share of known items it flags, and pictures of other things."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np

from bin_daemon.model.familiarity import ScoreKind, scores
from bin_daemon.training.calibration import auroc
from bin_daemon.training.sorting import Doubt

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydantic import JsonValue

    from bin_daemon.model.familiarity import Familiarity

KEPT_FRAC = 0.95
"""The field's usual working point: the threshold that 95 % of the known items pass."""


@dataclass(frozen=True, slots=True)
class UnfamiliarMetrics:
    """Pictures of things that are no waste of the model's labels, against the known ones."""

    items: int
    flagged: float | None
    """Share that the bundle's own threshold flags; None when the bundle has none."""
    auroc: dict[str, float]
    """By score: chance that a known picture looks more familiar than a strange one."""
    passed_at_95: dict[str, float]
    """By score: share of the strange ones that pass where 95 % of the known ones do (FPR95); less is better."""

    def to_json(self) -> dict[str, JsonValue]:
        """Rounded to four places."""
        return {
            "items": self.items,
            "flagged": None if self.flagged is None else round(self.flagged, 4),
            "auroc": {k: round(v, 4) for k, v in self.auroc.items()},
            "passed_at_95": {k: round(v, 4) for k, v in self.passed_at_95.items()},
        }


@dataclass(frozen=True, slots=True)
class StrangeMetrics:
    """What the bundle's familiarity says of the evaluated pictures; ``known`` is None where the bundle cannot tell."""

    known: Familiarity | None
    flagged: float | None
    accuracy_of_flagged: float | None
    accuracy_of_rest: float | None
    unfamiliar: UnfamiliarMetrics | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Rounded to four places."""
        shares = {
            "flagged": self.flagged,
            "category_accuracy_of_flagged": self.accuracy_of_flagged,
            "category_accuracy_of_rest": self.accuracy_of_rest,
        }
        return {
            "score": self.known.score if self.known else None,
            "threshold": round(self.known.threshold, 4) if self.known else None,
            "coverage_when_chosen": self.known.coverage if self.known else None,
            **{k: None if v is None else round(v, 4) for k, v in shares.items()},
            "unfamiliar": self.unfamiliar.to_json() if self.unfamiliar else None,
        }


def doubt_of(logits: NDArray[np.float32], temperature: float, known: Familiarity | None) -> Doubt:
    """What the classifier would say of each item's familiarity; logits N x L, or N x V x L of several views of each."""
    if known is None:
        return Doubt()
    found = scores(logits, temperature, known.score)
    found = found.mean(axis=1) if found.ndim > 1 else found
    return Doubt(known.shares(found), known.familiar(found))


def measure_strange(
    logits: NDArray[np.float32],
    correct: NDArray[np.bool_],
    temperature: float,
    known: Familiarity | None,
    unfamiliar: NDArray[np.float32] | None,
) -> StrangeMetrics | None:
    """Logits of the evaluated pictures (N x L), whether each category was right, and logits of strange pictures, if any.

    None when the bundle cannot tell strange items and no strange picture was shown.
    """
    others = None if unfamiliar is None else _against(logits, unfamiliar, temperature, known)
    doubt = doubt_of(logits, temperature, known)
    if doubt.familiar is None:
        return StrangeMetrics(None, None, None, None, others) if others else None
    flagged = ~doubt.familiar
    return StrangeMetrics(
        known, float(flagged.mean()), _mean(correct[flagged]), _mean(correct[~flagged]), unfamiliar=others
    )


def _against(
    logits: NDArray[np.float32], unfamiliar: NDArray[np.float32], temperature: float, known: Familiarity | None
) -> UnfamiliarMetrics:
    area: dict[str, float] = {}
    passed: dict[str, float] = {}
    for kind in get_args(ScoreKind):
        ours, theirs = scores(logits, temperature, kind), scores(unfamiliar, temperature, kind)
        area[kind] = auroc(ours, theirs)
        passed[kind] = float((theirs >= np.quantile(ours, 1 - KEPT_FRAC)).mean())
    theirs_doubt = doubt_of(unfamiliar, temperature, known)
    flagged = None if theirs_doubt.familiar is None else float((~theirs_doubt.familiar).mean())
    return UnfamiliarMetrics(len(unfamiliar), flagged, area, passed)


def _mean(values: NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if len(values) else None
