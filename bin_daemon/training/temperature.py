"""Temperature scaling: one number that makes the category's probability mean what it says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar

from bin_daemon.model.labels import probabilities
from bin_daemon.training.metrics import log_loss

if TYPE_CHECKING:
    from numpy.typing import NDArray

BOUNDS = (0.05, 20.0)
"""Beyond lies a network that knows nothing, or val pictures that it was trained on."""


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64], categories: NDArray[np.int64]) -> float:
    """The temperature with the least negative log-likelihood of the true category on held-out pictures.

    Args:
        logits: N x L.
        labels: N, true label.
        categories: L, category of each label; the category's probability is the sum over its labels, as at run time.
    """
    member = np.eye(int(categories.max()) + 1)[categories]
    truth = categories[labels]

    def loss(log_temperature: float) -> float:
        sums = probabilities(logits, math.exp(log_temperature)) @ member
        return log_loss(sums, truth)

    found = minimize_scalar(loss, bounds=(math.log(BOUNDS[0]), math.log(BOUNDS[1])), method="bounded")
    return round(math.exp(float(found.x)), 3)
