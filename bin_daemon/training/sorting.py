"""What the bin would have done with every picture: the policy itself decides, over an empty bin whose lids all work."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.domain import Category, Classification, ItemRequest, LidPosition, LidsState, LidState
from bin_daemon.policy import Policy
from bin_daemon.training.metrics import CATEGORIES, cost_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pydantic import JsonValue

    from bin_daemon.config.settings import LidSettings, PolicySettings
    from bin_daemon.training.metrics import Cost

KEPT = -1
"""In `Sorted.lid`: all lids stay shut, the item stays on the tray."""
LEAST = tuple(round(x / 40, 3) for x in range(10, 41))
"""Confidences of the cost curve: 0.25, below which the best of four cannot fall, to 1."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """What the model says of each item beside its probabilities; N each. None: it cannot tell strange items."""

    familiarity: NDArray[np.float64] | None = None
    familiar: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Sorted:
    """What happened to N items."""

    truth: NDArray[np.int64]
    lid: NDArray[np.int64]
    """Category of the lid that opened, index in `Category`, or `KEPT`."""
    reason: tuple[str, ...]
    """`bin_daemon.policy.Reason` of each."""
    unsure: NDArray[np.bool_]
    price: NDArray[np.float64]
    """By the cost matrix; an item on the tray costs nothing here, for nothing was mixed up."""

    @property
    def sure_frac(self) -> float:
        """Share of items that the policy was sure of."""
        return float((~self.unsure).mean())

    @property
    def wrong_of_sure(self) -> float | None:
        """Share of wrong ones among the items it was sure of."""
        sure = ~self.unsure
        return float((self.lid[sure] != self.truth[sure]).mean()) if sure.any() else None

    def purity(self, category: Category) -> float | None:
        """Share of what went into a category's lids that belongs there; None when nothing went in."""
        into = self.lid == CATEGORIES.index(category)
        return float((self.truth[into] == CATEGORIES.index(category)).mean()) if into.any() else None

    def to_json(self) -> dict[str, JsonValue]:
        """Rounded to four places."""
        return {
            "sure": round(self.sure_frac, 4),
            "wrong_of_sure": _rounded(self.wrong_of_sure),
            "kept_on_tray": round(float((self.lid == KEPT).mean()), 4),
            "mean_cost": round(float(self.price.mean()), 4),
            "purity": {c.value: _rounded(self.purity(c)) for c in CATEGORIES},
            "went_in_rows_true": {c.value: self._row(i) for i, c in enumerate(CATEGORIES)},
            "reasons": dict(sorted(Counter(self.reason).items())),
        }

    def _row(self, category: int) -> JsonValue:
        mine = self.lid[self.truth == category]
        counts: dict[str, JsonValue] = {c.value: int((mine == i).sum()) for i, c in enumerate(CATEGORIES)}
        return {**counts, "tray": int((mine == KEPT).sum())}


def sort_items(  # noqa: PLR0917 - the parts of one decision
    probs: NDArray[np.float64],
    truth: NDArray[np.int64],
    settings: PolicySettings,
    lids: Sequence[LidSettings],
    cost: Cost,
    doubt: Doubt | None = None,
) -> Sorted:
    """Let the policy judge category probabilities (N x 4); ``truth`` is N, index in `Category`."""
    policy, bin_ = Policy(settings, lids), _empty_bin(lids)
    decisions = [
        policy.decide(ItemRequest(str(i), _verdict(p, i, doubt or Doubt())), bin_, 0.0) for i, p in enumerate(probs)
    ]
    lid = np.array([_lid(d.command.category if d.command else None) for d in decisions], dtype=np.int64)
    price = np.where(lid == KEPT, 0.0, cost_matrix(cost)[truth, np.maximum(lid, 0)])
    unsure = np.array([d.unsure for d in decisions], dtype=bool)
    return Sorted(truth, lid, tuple(d.reason for d in decisions), unsure, price)


def cost_curve(
    probs: NDArray[np.float64], truth: NDArray[np.int64], cost: Cost, unsure: Category | None
) -> tuple[tuple[float, float, float], ...]:
    """(least confidence, mean price of an item, share of unsure ones) for `LEAST`.

    Items at or above the least confidence go where their expected cost is least, the others to ``unsure`` (None: they stay on the
    tray, for nothing). It shows what asking for more confidence would buy; the policy's own rules are finer.
    """
    matrix = cost_matrix(cost)
    best = np.lexsort((-probs, probs @ matrix), axis=1)[:, 0]
    sure, doubtful = matrix[truth, best], np.zeros(len(truth))
    if unsure is not None:
        doubtful = matrix[truth, CATEGORIES.index(unsure)]
    kept = [probs.max(1) >= least for least in LEAST]
    return tuple(
        (least, float(np.where(k, sure, doubtful).mean()), float((~k).mean()))
        for least, k in zip(LEAST, kept, strict=True)
    )


def _empty_bin(lids: Sequence[LidSettings]) -> LidsState:
    return LidsState(connected=True, lids={x.lid: LidState(x.lid, LidPosition.CLOSED, 0.0) for x in lids})


def _verdict(probs: NDArray[np.float64], place: int, doubt: Doubt) -> Classification:
    second, best = np.argsort(probs, kind="stable")[-2:]
    return Classification(
        category=CATEGORIES[best],
        category_probs={c: float(p) for c, p in zip(CATEGORIES, probs, strict=True)},
        top5=(),
        margin=float(probs[best] - probs[second]),
        agreement=1.0,
        model_id="",
        took_ms=0.0,
        t_s=0.0,
        familiarity=None if doubt.familiarity is None else float(doubt.familiarity[place]),
        familiar=True if doubt.familiar is None else bool(doubt.familiar[place]),
    )


def _lid(category: Category | None) -> int:
    return KEPT if category is None else CATEGORIES.index(category)


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
