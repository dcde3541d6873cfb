"""A linear head on frozen features: convex, deterministic, trained in seconds.

Features are standardised while fitting, and the scaling is folded into the weights afterwards: the head is a plain linear layer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

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


@dataclass(frozen=True, slots=True)
class Head:
    """``weight`` float32 L x D and ``bias`` float32 L."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features ... x D -> logits ... x L."""
        return np.asarray(features @ self.weight.T + self.bias, np.float32)


def train_head(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    categories: NDArray[np.int64],
    recipe: HeadRecipe,
    advance: Callable[[float], None] = lambda _loss: None,
) -> Head:
    """Fit a head.

    Args:
        features: N x V x D, V views of each of N pictures.
        labels: N, label of each picture.
        categories: L, category of each label.
        recipe: Regularisation and weights.
        advance: Told the loss after every step.
    """
    views, width = features.shape[1:]
    flat = features.reshape(-1, width)
    mean, std = flat.mean(0), flat.std(0) + 1e-6
    x = torch.from_numpy((flat - mean) / std)
    y = torch.from_numpy(np.repeat(labels, views))
    weight = torch.zeros(len(categories), width, requires_grad=True)
    bias = torch.zeros(len(categories), requires_grad=True)
    loss_of = SortingLoss(np.bincount(labels, minlength=len(categories)), categories, recipe.loss)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=1, history_size=20, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = loss_of(x @ weight.T + bias, y) + recipe.l2 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    for _ in range(recipe.steps):
        advance(optimizer.step(closure).item())  # type: ignore[no-untyped-call]
    scaled = weight.detach().numpy() / std
    return Head(scaled.astype(np.float32), (bias.detach().numpy() - scaled @ mean).astype(np.float32))
