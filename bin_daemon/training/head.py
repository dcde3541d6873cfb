"""A linear head on frozen features: convex, deterministic, trained in seconds.

Features are standardised while fitting, and the scaling is folded into the weights afterwards: the head is a plain linear layer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import minimize

from bin_daemon.training.loss import LossRecipe, SortingLoss

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class HeadRecipe:
    """What shapes the head."""

    loss: LossRecipe = field(default_factory=LossRecipe)
    l2: float = 1e-3
    """Weight decay on standardised features, added to the mean loss."""
    steps: int = 60
    """L-BFGS steps."""
    tray_share: float = 0.5
    """Weight of the views on trays beside the photographs, where there are both; how many there are of each does not count."""


@dataclass(frozen=True, slots=True)
class Head:
    """``weight`` float32 L x D and ``bias`` float32 L."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features ... x D -> logits ... x L."""
        return np.asarray(features @ self.weight.T + self.bias, np.float32)


def train_head(  # noqa: PLR0917 - the parts of one fit
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    categories: NDArray[np.int64],
    recipe: HeadRecipe,
    advance: Callable[[float], None] = lambda _loss: None,
    photos: int | None = None,
) -> Head:
    """Fit a head.

    Args:
        features: N x V x D, V views of each of N pictures, photographs first.
        labels: N, label of each picture.
        categories: L, category of each label.
        recipe: Regularisation and weights.
        advance: Told the loss after every step.
        photos: How many of the views are photographs; None: all.
    """
    width, count = features.shape[2], len(categories)
    mean, std = features.mean((0, 1)), features.std((0, 1)) + 1e-6
    groups = _groups((features - mean) / std, labels, recipe.tray_share, photos)
    loss_of = SortingLoss(np.bincount(labels, minlength=count), categories, recipe.loss)
    latest = [0.0]

    def loss_and_slope(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        head = torch.from_numpy(flat.astype(np.float32)).reshape(count, width + 1).requires_grad_()
        weight, bias = head[:, :width], head[:, width]
        loss = recipe.l2 * weight.square().sum()
        for share, x, y in groups:
            loss = loss + share * loss_of(x @ weight.T + bias, y)
        (slope,) = torch.autograd.grad(loss, head)
        latest[0] = loss.item()
        return latest[0], slope.numpy().ravel().astype(np.float64)

    # scipy's line search: torch's LBFGS stays at the start for some weights of the loss (seen with balance = 0)
    found = minimize(
        loss_and_slope,
        np.zeros(count * (width + 1)),
        jac=True,
        method="L-BFGS-B",
        callback=lambda _x: advance(latest[0]),
        options={"maxiter": recipe.steps, "maxcor": 20},
    )
    fitted = found.x.reshape(count, width + 1)
    scaled = fitted[:, :width] / std
    return Head(scaled.astype(np.float32), (fitted[:, width] - scaled @ mean).astype(np.float32))


def _groups(
    views: NDArray[np.float32], labels: NDArray[np.int64], tray_share: float, photos: int | None
) -> list[tuple[float, torch.Tensor, torch.Tensor]]:
    """Photographs and trays apart: weight, views as rows, label of each row."""
    cut = views.shape[1] if photos is None else photos
    parts = [(1 - tray_share, views[:, :cut]), (tray_share, views[:, cut:])]
    whole = sum(share for share, part in parts if part.shape[1])
    return [
        (
            share / whole,
            torch.from_numpy(np.ascontiguousarray(part.reshape(-1, views.shape[2]))),
            torch.from_numpy(np.repeat(labels, part.shape[1])),
        )
        for share, part in parts
        if part.shape[1] and share
    ]
