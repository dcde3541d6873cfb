"""From logits to probabilities, and from fine labels to the four categories with the site's own rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.domain import Category, LabelScore
from bin_daemon.errors import ConfigError, ModelError
from bin_daemon.model.label_lookup import PLACE, find_index

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bin_daemon.model.bundle import LabelInfo

CATEGORIES = tuple(Category)


class CategorySums:
    """Which label counts for which category: a labels x categories matrix of 0 and 1.

    ``overrides`` is the site's rule: what `find_index` understands (label, index, item name, gloss) -> category. One that
    fits no label, fits several, or contradicts another is a ConfigError, for it would sort wrongly in silence.
    """

    def __init__(self, labels: Sequence[LabelInfo], overrides: Mapping[str, Category] | None = None) -> None:
        self.labels = tuple(x.label for x in labels)
        categories = [x.category for x in labels]
        for index, category in site_rules(labels, overrides or {}).items():
            categories[index] = category
        self.categories = tuple(categories)
        self._matrix = np.array([[float(x is category) for category in CATEGORIES] for x in categories])

    def sums(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities (... x labels) summed to (... x categories), in the order of `Category`."""
        summed: NDArray[np.float64] = probabilities @ self._matrix
        return summed

    def top(self, probabilities: NDArray[np.float64], count: int) -> tuple[LabelScore, ...]:
        """The ``count`` most probable labels of one picture, best first; the lower index first where they tie."""
        order = np.argsort(-probabilities, kind="stable")[:count]
        return tuple(LabelScore(self.labels[i], int(i), float(probabilities[i])) for i in order)


def site_rules(labels: Sequence[LabelInfo], overrides: Mapping[str, Category]) -> dict[int, Category]:
    """The site's rules by index of the label; ConfigError as `CategorySums` says."""
    rules: dict[int, tuple[str, Category]] = {}
    for key, category in overrides.items():
        index = find_index(key, labels)
        earlier, said = rules.setdefault(index, (key, category))
        if said is not category:
            raise ConfigError(
                f"{PLACE}: {earlier!r} and {key!r} are both label {index} ({labels[index].label}), yet differ",
                hint="keep one of them",
            )
    return {index: category for index, (_, category) in rules.items()}


def probabilities(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """Softmax of logits / temperature over the last axis; ModelError when a logit is not finite."""
    if not np.isfinite(logits).all():
        raise ModelError(
            "the network gave NaN or infinity", hint="verify the model bundle; on a GPU, try engine = 'onnx'"
        )
    scaled = logits.astype(np.float64) / temperature
    grown = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    shares: NDArray[np.float64] = grown / grown.sum(axis=-1, keepdims=True)
    return shares
