"""The threshold below which an item counts as unfamiliar: a low quantile of the scores of held-out pictures.

Energy is the score, for it separates better. Measured with a linear head on frozen EfficientNet-Lite0 features (64 labels),
area under the ROC curve, energy against largest probability: bare trays 0.93 to 0.75, other bare surfaces 0.88 to 0.77; labels
left out of training 0.77 to 0.76 (photographs) and 0.70 to 0.69 (trays). Of those left-out labels 13 % fall below the threshold,
with the largest probability 8 %.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.model.familiarity import Familiarity, scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bin_daemon.model.familiarity import ScoreKind

COVERAGE = 0.98
"""Share of the held-out pictures that stay familiar: one known item in fifty goes where doubt goes."""
STEPS = 100
"""Of the stored quantiles: each is one per cent of the held-out pictures."""


def fit_familiarity(
    logits: NDArray[np.float32],
    temperature: float,
    chosen_on: str,
    *,
    coverage: float = COVERAGE,
    kind: ScoreKind = "energy",
) -> Familiarity:
    """What a bundle needs to tell strange items.

    Args:
        logits: N x L, of held-out pictures of the kind that the bin will see; training pictures look too familiar.
        temperature: The bundle's.
        chosen_on: Which pictures those are, in words.
        coverage: Share of them that stays familiar.
        kind: Which score.
    """
    found = scores(logits, temperature, kind)
    return Familiarity(
        score=kind,
        threshold=_lower(float(np.quantile(found, 1 - coverage, method="lower"))),
        coverage=coverage,
        quantiles=tuple(_lower(float(x)) for x in np.quantile(found, np.linspace(0, 1, STEPS + 1))),
        chosen_on=chosen_on,
    )


def _lower(score: float) -> float:
    """Four decimals, rounded down, so that the picture that set a threshold still passes it."""
    return float(np.floor(score * 1e4) / 1e4)
