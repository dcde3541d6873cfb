"""What several pictures of one item are worth: their probabilities averaged, as the bin averages the frames of one placement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pydantic import JsonValue

    from bin_daemon.training.dataset import Picture


@dataclass(frozen=True, slots=True)
class FrameMetrics:
    """Items that were seen several times; shares 0..1, None where they have no items."""

    kind: Literal["views", "groups"]
    """views: altered views of each picture; groups: pictures of one object, as the data set's MANIFEST.csv tells."""
    items: int
    frames: int
    single_accuracy: float
    """Category accuracy of the frames, each by itself."""
    averaged_accuracy: float
    """Category accuracy of the items, probabilities averaged over their frames."""
    agreement: float
    """Mean share of an item's frames whose own best category is the averaged one."""
    agreement_when_wrong: float | None
    """The same over the items whose averaged category is wrong: low means that disagreement warns."""

    def to_json(self) -> dict[str, JsonValue]:
        """Rounded to four places."""
        wrong = self.agreement_when_wrong
        return {
            "kind": self.kind,
            "items": self.items,
            "frames": self.frames,
            "single_accuracy": round(self.single_accuracy, 4),
            "averaged_accuracy": round(self.averaged_accuracy, 4),
            "agreement": round(self.agreement, 4),
            "agreement_when_wrong": None if wrong is None else round(wrong, 4),
        }


def of_views(sums: NDArray[np.float64], truth: NDArray[np.int64]) -> FrameMetrics:
    """Category probabilities N x V x 4 of V views of each picture, and the true category of each."""
    return _measure("views", [(x, int(t)) for x, t in zip(sums, truth, strict=True)])


def of_groups(sums: NDArray[np.float64], truth: NDArray[np.int64], pictures: Sequence[Picture]) -> FrameMetrics | None:
    """Category probabilities N x 4; None when no two pictures show the same object."""
    members: dict[tuple[str, int], list[int]] = {}
    for place, picture in enumerate(pictures):
        if picture.group:
            members.setdefault((picture.group, picture.label_index), []).append(place)
    items = [(sums[places], int(truth[places[0]])) for places in members.values() if len(places) > 1]
    return _measure("groups", items) if items else None


def _measure(kind: Literal["views", "groups"], items: list[tuple[NDArray[np.float64], int]]) -> FrameMetrics:
    right: list[bool] = []
    agreement: list[float] = []
    single: list[NDArray[np.bool_]] = []
    for frames, truth in items:
        said, own = int(frames.mean(0).argmax()), frames.argmax(1)
        right.append(said == truth)
        agreement.append(float((own == said).mean()))
        single.append(own == truth)
    wrong = [a for a, ok in zip(agreement, right, strict=True) if not ok]
    return FrameMetrics(
        kind=kind,
        items=len(items),
        frames=sum(len(x) for x, _ in items),
        single_accuracy=float(np.concatenate(single).mean()),
        averaged_accuracy=float(np.mean(right)),
        agreement=float(np.mean(agreement)),
        agreement_when_wrong=float(np.mean(wrong)) if wrong else None,
    )
