"""The loss of every training here: the fine label, and the category as the bin uses it.

Cross-entropy of the fine label (smoothed) + cross-entropy of the category, whose probability is the sum over its labels: that
sum is what opens a lid. Pictures of rare labels, and hard ones, may weigh more. Without weights and category this is timm's
`LabelSmoothingCrossEntropy` (for mixed pictures `SoftTargetCrossEntropy`), which know no weight of a single picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from bin_daemon.training.recipe import LossRecipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LossRecipe", "SortingLoss"]


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
        """Logits N x L and labels N, or N x L shares of mixed pictures that are smoothed already -> scalar."""
        mixed = labels.ndim == 2  # noqa: PLR2004 - N x L
        smoothing = 0.0 if mixed else self._recipe.smoothing
        loss = functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
        weight = labels @ self._weight if mixed else self._weight[labels]
        if self._recipe.category_weight:
            loss = loss + self._recipe.category_weight * self._of_category(logits, labels)
        if self._recipe.hard_gamma:
            weight = weight * self._hardness(logits, labels)
        return (loss * weight).mean()

    def _of_category(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        log_p = functional.log_softmax(logits, dim=1)
        sums = torch.stack([log_p[:, members].logsumexp(1) for members in self._members], dim=1)
        if labels.ndim == 1:
            return functional.nll_loss(sums, self._category[labels], reduction="none")
        return -(torch.stack([labels[:, members].sum(1) for members in self._members], dim=1) * sums).sum(1)

    def _hardness(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        p = logits.softmax(1)
        true = (p * labels).sum(1) if labels.ndim > 1 else p.gather(1, labels[:, None]).squeeze(1)
        return (1 - true).clamp(min=0) ** self._recipe.hard_gamma
