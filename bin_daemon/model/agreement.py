"""How well an engine agrees with the exact one on pictures, and when that is good enough to judge items with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from bin_daemon.errors import ModelError
from bin_daemon.model.labels import CategorySums, probabilities
from bin_daemon.model.picture import read_picture
from bin_daemon.model.preprocess import prepare_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from bin_daemon.model.bundle import Bundle
    from bin_daemon.model.engine import Engine
    from bin_daemon.model.photos import Photo

MAX_DROP_POINTS = 0.5
"""Of category accuracy on labelled pictures, in points of a hundred."""
MIN_AGREEMENT = 0.995
"""Share of pictures that get the same category, where there are no labels: then nobody knows which of the two was right."""
ENOUGH_PICTURES = 200
"""One picture of fewer weighs more than MAX_DROP_POINTS."""


class Agreement(BaseModel):
    """An engine beside the exact one. Shares are 0..1 of all pictures, accuracies of those with a label."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    pictures: int = Field(ge=0)
    labelled: int = Field(ge=0)
    max_logit_difference: float = Field(ge=0)
    same_category: float = Field(ge=0, le=1)
    same_top1: float = Field(ge=0, le=1)
    category_accuracy: float | None = Field(None, ge=0, le=1)
    exact_category_accuracy: float | None = Field(None, ge=0, le=1)

    @property
    def drop_points(self) -> float | None:
        """Category accuracy lost, in points; None without labels, negative for a gain."""
        if self.category_accuracy is None or self.exact_category_accuracy is None:
            return None
        return 100 * (self.exact_category_accuracy - self.category_accuracy)

    @property
    def refused_because(self) -> str:
        """Why this is not good enough; empty when it is."""
        drop = self.drop_points
        if self.pictures == 0:
            return "no picture was compared"
        if drop is not None and drop > MAX_DROP_POINTS + 1e-9:
            return (
                f"category accuracy falls by {drop:.2f} points on {self.labelled} labelled pictures "
                f"({self.exact_category_accuracy:.2%} to {self.category_accuracy:.2%}), {MAX_DROP_POINTS} are allowed"
            )
        if drop is None and self.same_category < MIN_AGREEMENT:
            return (
                f"only {self.same_category:.2%} of {self.pictures} pictures get the same category, "
                f"{MIN_AGREEMENT:.1%} are asked where none is labelled"
            )
        return ""


def compare(
    bundle: Bundle, exact: Engine, other: Engine, photos: Sequence[Photo], advance: Callable[[], None] = lambda: None
) -> Agreement:
    """Show every picture to both engines; ``advance`` is called after each. ModelError for a picture that cannot be read."""
    how = bundle.metadata.preprocessing
    wanted, found = [], []
    for photo in photos:
        image = prepare_picture(read_picture(photo.file), how)
        wanted.append(exact.logits(image)[0])
        found.append(other.logits(image)[0])
        advance()
    return measure(bundle, np.array(wanted), np.array(found), [x.category_index for x in photos])


def measure(
    bundle: Bundle, wanted: NDArray[np.float32], found: NDArray[np.float32], truth: Sequence[int | None]
) -> Agreement:
    """``wanted`` and ``found`` are logits, pictures x labels; ``truth`` the category's index where known. ModelError for NaN."""
    if not np.isfinite(found).all():
        raise ModelError("the engine gave NaN or infinity for a picture", hint="use engine onnx")
    sums, temperature = CategorySums(bundle.metadata.labels), bundle.metadata.temperature
    best, other_best = (sums.sums(probabilities(x, temperature)).argmax(axis=1) for x in (wanted, found))
    known = np.array([i for i, x in enumerate(truth) if x is not None], dtype=np.int64)
    true = np.array([x for x in truth if x is not None], dtype=np.int64)
    return Agreement(
        pictures=len(wanted),
        labelled=len(known),
        max_logit_difference=float(np.abs(wanted - found).max(initial=0.0)),
        same_category=_share(best == other_best),
        same_top1=_share(wanted.argmax(axis=1) == found.argmax(axis=1)),
        category_accuracy=_share(other_best[known] == true) if len(known) else None,
        exact_category_accuracy=_share(best[known] == true) if len(known) else None,
    )


def _share(hits: NDArray[np.bool_]) -> float:
    return float(hits.mean()) if len(hits) else 0.0
