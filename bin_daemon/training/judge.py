"""Run a network over pictures and say what it is worth: photographs as they are, and their items laid on the bin's tray."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bin_daemon.errors import ModelError
from bin_daemon.model.labels import CategorySums, probabilities
from bin_daemon.model.picture import read_picture
from bin_daemon.model.preprocess import prepare_array, prepare_picture
from bin_daemon.training.cutout import cut_out_any
from bin_daemon.training.data import BadPicture
from bin_daemon.training.embed import read_bgr
from bin_daemon.training.views import on_bin_tray

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bin_daemon.model.bundle import LabelInfo, Preprocessing
    from bin_daemon.training.data import Picture

BATCH = 8
TRAY_SEED = 7
"""Of the composed scenes that models are compared on: the same picture always lies on the same tray."""

Logits = Callable[["NDArray[np.float32]"], "NDArray[np.float32]"]
"""float32 N x 3 x S x S -> float32 N x L."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a network said: logits N x L, the pictures it saw in that order, and those that could not be read."""

    logits: NDArray[np.float32]
    pictures: tuple[Picture, ...]
    bad: tuple[BadPicture, ...]


def ask(
    pictures: Sequence[Picture], how: Preprocessing, run: Logits, *, on_tray: bool, advance: Callable[[int], None]
) -> Answers:
    """Show every picture to a network, exactly as at run time; ``on_tray`` lays its item on the bin's tray first.

    Raises:
        ModelError: Not one picture could be read, or the network cannot run.
    """
    found: list[NDArray[np.float32]] = []
    good: list[Picture] = []
    bad: list[BadPicture] = []
    for start in range(0, len(pictures), BATCH):
        chunk = pictures[start : start + BATCH]
        tensors: list[NDArray[np.float32]] = []
        for place, picture in enumerate(chunk, start):
            try:
                tensors.append(
                    _tray_input(picture, place, how) if on_tray else prepare_picture(read_picture(picture.path), how)
                )
                good.append(picture)
            except ModelError as error:  # noqa: PERF203 - a bad picture is one of many
                bad.append(BadPicture(picture.path, str(error)))
        if tensors:
            found.append(run(np.concatenate(tensors)))
        advance(len(chunk))
    if not found:
        raise ModelError(f"not one of {len(pictures)} pictures could be read", hint="check the data set's folder")
    return Answers(np.concatenate(found), tuple(good), tuple(bad))


def category_probabilities(
    logits: NDArray[np.float32], temperature: float, labels: Sequence[LabelInfo]
) -> NDArray[np.float64]:
    """Logits N x L -> N x 4 in the order of `Category`: summed label probabilities, without any site's overrides."""
    return CategorySums(labels).sums(probabilities(logits, temperature))


def _tray_input(picture: Picture, place: int, how: Preprocessing) -> NDArray[np.float32]:
    return prepare_array(
        on_bin_tray(cut_out_any(read_bgr(picture.path)), np.random.default_rng([TRAY_SEED, place])), how
    )
