"""A small drawn tray, what can be put into its picture, and a detector that watches it without lid reports."""

from __future__ import annotations

from itertools import count

import cv2
import numpy as np

from bin_daemon.config.settings import PlacementSettings
from bin_daemon.domain import Frame, LidsState
from bin_daemon.placement import Detector

ROWS, COLUMNS = 60, 100
UNREPORTED = LidsState(connected=False)


def drawn_tray(seed: int = 1, texture: float = 14.0) -> np.ndarray:
    """A grainy plate with a dark rim, grey levels, in cells."""
    rng = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(rng.standard_normal((ROWS, COLUMNS), np.float32), (0, 0), 1.2)
    bare = np.asarray(130 + texture * grain, np.float32)
    cv2.rectangle(bare, (4, 4), (COLUMNS - 5, ROWS - 5), 90, 2)
    return bare


class Watch:
    """A detector that gets no lid reports, and what it told; 15 frames a second, little noise."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._rng, self._seq, ids = np.random.default_rng(2), count(), count()
        self.detector = Detector(PlacementSettings(), lambda: f"item-{next(ids)}")

    def show(self, *pictures: np.ndarray, seconds: float = 0.0, lids: LidsState = UNREPORTED) -> None:
        """Each of ``pictures`` once; with ``seconds`` the last one stays so long."""
        for picture in (*pictures, *(pictures[-1:] * round(15 * seconds))):
            seen = picture + self._rng.standard_normal(picture.shape, np.float32)
            n = next(self._seq)
            grey8 = np.clip(seen, 0, 255).astype(np.uint8)
            self.detector.update(
                Frame(n, n / 15, COLUMNS * 8, ROWS * 8, grey8, lambda: np.zeros((1, 1, 3), np.uint8)), lids
            )
            self.told += [outcome.kind.value for outcome in self.detector.take()]


def with_item(bare: np.ndarray, grey: float = 60, x: int = 40) -> np.ndarray:
    """A thing of 18 x 15 cells, so much brighter than the tray."""
    picture = bare.copy()
    cv2.rectangle(picture, (x, 22), (x + 17, 36), float(bare.mean()) + grey, -1)
    return np.asarray(picture, np.float32)


def with_arm(picture: np.ndarray, reach: int) -> np.ndarray:
    """A bright arm that comes in from the left up to column ``reach``."""
    shown = picture.copy()
    if reach > 0:
        cv2.line(shown, (-10, 52), (reach, 52 - reach // 3), 215, 11)
    return np.asarray(shown, np.float32)


def with_shaft(picture: np.ndarray, width: int) -> np.ndarray:
    """The dark shaft below a lid that has opened so wide from the left."""
    shown = picture.copy()
    if width:
        cv2.rectangle(shown, (0, 8), (width, ROWS - 9), 12, -1)
    return np.asarray(shown, np.float32)
