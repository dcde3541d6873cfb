"""Which output of the model is which label of the data set: two lists of labels need not be the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from bin_daemon.errors import ConfigError
from bin_daemon.model.label_names import spelling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bin_daemon.model.bundle import LabelInfo
    from bin_daemon.training.dataset import LabelRow

How = Literal["name", "index", "category"]
MATCHES = ("auto", *get_args(How))


@dataclass(frozen=True, slots=True)
class Match:
    """``place`` (int64, one for each label of the data set) is the model's output, -1 where it has none."""

    place: NDArray[np.int64]
    how: How
    """name: same label; index: same number among the 265 national labels; category: no label shared, categories alone count."""

    @property
    def shared(self) -> int:
        """Labels of the data set that the model has."""
        return int((self.place >= 0).sum())


def match(rows: Sequence[LabelRow], labels: Sequence[LabelInfo], how: str = "auto") -> Match:
    """Match by ``how``; auto: by name where any label is shared, else by national index, else by category alone.

    Raises:
        ConfigError: An unknown ``how``, or one that matches nothing.
    """
    if how not in MATCHES:
        raise ConfigError(f"--match {how}: no such way", hint=f"one of {', '.join(MATCHES)}")
    by_name, by_index = _by_name(rows, labels), _by_index(rows, labels)
    nothing = Match(np.full(len(rows), -1, dtype=np.int64), "category")
    if how == "category":
        return nothing
    if how == "auto":
        return next((m for m in (by_name, by_index) if m.shared), nothing)
    chosen = by_name if how == "name" else by_index
    if not chosen.shared:
        raise ConfigError(
            f"--match {how}: the model ({labels[0].label}, ...) and the data set ({rows[0].label}, ...) share no label so",
            hint="leave out --match, or --match category",
        )
    return chosen


def _by_name(rows: Sequence[LabelRow], labels: Sequence[LabelInfo]) -> Match:
    index = {spelling(x.label): i for i, x in enumerate(labels)}
    return Match(np.array([index.get(spelling(x.label), -1) for x in rows], dtype=np.int64), "name")


def _by_index(rows: Sequence[LabelRow], labels: Sequence[LabelInfo]) -> Match:
    """By national index; one that two outputs of the model share says nothing of which was meant."""
    known = [x.label265 for x in labels]
    index: dict[int | None, int] = {n: i for i, n in enumerate(known) if n is not None and known.count(n) == 1}
    return Match(np.array([index.get(x.label265, -1) for x in rows], dtype=np.int64), "index")
