"""Does an item look like anything the model was trained on? An out-of-distribution score of its logits.

A softmax must name a label for whatever it sees: a toy, a hand, a bare tray. The logits know better. Two scores, where higher is
more familiar:

- ``energy``: T logsumexp(logits / T), the negative free energy of Liu et al. 2020, *Energy-based Out-of-distribution Detection*;
- ``max_probability``: the largest label probability, Hendrycks and Gimpel 2017, the baseline of the field.

T is the bundle's temperature. A score alone means nothing to people: `Familiarity.shares` puts it among the scores of held-out
pictures.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from bin_daemon.model.labels import probabilities

if TYPE_CHECKING:
    from numpy.typing import NDArray

ScoreKind = Literal["energy", "max_probability"]


class Familiarity(BaseModel):
    """The part of ``bundle.json`` that tells strange items from known ones."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    score: ScoreKind = Field(description="How the logits are summed up; higher is more familiar.")
    threshold: float = Field(description="An item whose score is below it is unfamiliar.")
    coverage: float = Field(gt=0, le=1, description="Share of the held-out pictures at or above the threshold.")
    quantiles: tuple[float, ...] = Field(
        min_length=2,
        max_length=1001,
        description="Scores of the held-out pictures at equal steps of their share, least first.",
    )
    chosen_on: str = Field("", max_length=200, description="Which pictures the threshold was chosen on.")

    @field_validator("quantiles")
    @classmethod
    def _ascend(cls, quantiles: tuple[float, ...]) -> tuple[float, ...]:
        for place, (low, high) in enumerate(pairwise(quantiles)):
            if low > high:
                raise ValueError(f"must not fall: {low} at {place}, then {high}")
        return quantiles

    def shares(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """For each score the share of the held-out pictures that look stranger, 0..1."""
        steps = np.linspace(0.0, 1.0, len(self.quantiles))
        return np.asarray(np.interp(scores, self.quantiles, steps), np.float64)

    def familiar(self, scores: NDArray[np.float64]) -> NDArray[np.bool_]:
        """For each score whether it is familiar: False for what looks like nothing the model knows."""
        return np.asarray(scores >= self.threshold, np.bool_)


def scores(logits: NDArray[np.float32], temperature: float, kind: ScoreKind) -> NDArray[np.float64]:
    """Logits (... x L) -> one score each (...); ModelError when a logit is not finite."""
    shares = probabilities(logits, temperature).max(axis=-1)
    if kind == "max_probability":
        return np.asarray(shares, np.float64)
    # log of the largest share = (largest logit) / T - logsumexp(logits / T)
    return np.asarray(logits.max(axis=-1).astype(np.float64) - temperature * np.log(shares), np.float64)
