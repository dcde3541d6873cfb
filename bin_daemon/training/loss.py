"""The loss of every training here: the fine label, and the category as the bin uses it.

Cross-entropy of the fine label (smoothed) + cross-entropy of the category, whose probability is the sum over its labels: that
sum is what opens a lid. Pictures of rare labels weigh more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LossRecipe:
    """What the loss wants."""

    smoothing: float = 0.1
    """Share of the fine label's target that is spread over all labels."""
    category_weight: float = 1.0
    """Weight of the category's cross-entropy beside the fine label's."""
    balance: float = 0.5
    """Weight of a label's pictures = (1 / their number) ** balance; 0: as they come, 1: every label counts the same."""


class SortingLoss:
    """Mean over pictures of the weighted fine and category cross-entropy.

    ``label_counts`` (L, training pictures of each label) and ``categories`` (L, category of each label) fix weights and sums.
    """

    def __init__(self, label_counts: NDArray[np.int64], categories: NDArray[np.int64], recipe: LossRecipe) -> None:
        weight = (1.0 / np.maximum(label_counts, 1)) ** recipe.balance
        weight /= (weight * label_counts).sum() / label_counts.sum()
        self._weight = torch.from_numpy(weight.astype(np.float32))
        present, place = np.unique(categories, return_inverse=True)
        self._category = torch.from_numpy(place.astype(np.int64))
        self._members = [torch.from_numpy(np.flatnonzero(categories == c)) for c in present]
        self._recipe = recipe

    def to(self, device: torch.device) -> SortingLoss:
        """The same on another device, in place."""
        self._weight, self._category = self._weight.to(device), self._category.to(device)
        self._members = [x.to(device) for x in self._members]
        return self

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Logits N x L and labels N -> scalar."""
        fine = functional.cross_entropy(logits, labels, label_smoothing=self._recipe.smoothing, reduction="none")
        log_p = functional.log_softmax(logits, dim=1)
        sums = torch.stack([log_p[:, members].logsumexp(1) for members in self._members], dim=1)
        category = functional.nll_loss(sums, self._category[labels], reduction="none")
        weight = self._weight[labels]
        return ((fine + self._recipe.category_weight * category) * weight).mean()
