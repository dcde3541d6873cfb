"""What a frame tells before anybody has looked at it: how unusual it is for an empty tray, in spreads of what is usual.

A hint costs a hundredth of a look, so every frame of an idle camera is asked for one. It need not be right: `Gate` has it looked
at by the detector, which judges.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bin_daemon.domain import Image

LEARN_FRAMES = 8
"""Frames seen before a score is given; the idle frames are looked at meanwhile as well."""

MEMORY_FRAMES = 32
"""How many frames the spread, and a picture's mean, remember."""

SIZE_MEMORY_FRAMES = 7
"""A size follows lamps, clouds and exposure within a few frames: of 60 rendered arrivals under lamps, flicker, clouds and hunting
exposure a memory of 4 to 8 frames gave the most away at once, one of 32 far less."""

LEAST_SPREAD = 0.0003
"""Of the mean size. Cameras whose frames hardly differ in size would give hints for a few bytes."""

LEAST_GREY = 0.25
"""Grey levels: a picture without any noise would give hints for its rounding."""

MOST_SPREADS = 4.0
"""One odd frame moves what is usual by no more than this."""

LINES, COLUMNS = 45, 160
"""Places of an uncompressed picture that are glanced at: of 720p one in 16 lines, one in 8 pixels."""


class Hint(Protocol):
    """Used by one camera's thread only."""

    sees_picture: bool
    """True when a thing of a few centimetres cannot come in without a high score."""

    def score(self, raw: Image) -> float:
        """How many spreads the next frame's buffer is away from the usual; 0 while that is not known."""

    def forget(self) -> None:
        """Learn anew: what moved on the tray is no measure for an empty one."""


class Sizes:
    """The byte counts of JPEG frames: an empty tray's differ by the sensor's noise alone, outlines add to them."""

    sees_picture = False

    def __init__(self) -> None:
        self._frames = 0
        self._mean = self._distance = 0.0

    def forget(self) -> None:
        """See `Hint.forget`."""
        self._frames = 0

    def score(self, raw: Image) -> float:
        """See `Hint.score`."""
        return self.score_size(raw.size)

    def score_size(self, size: int) -> float:
        """The same for a byte count."""
        if not self._frames:
            self._mean, self._distance = float(size), 0.0
        self._frames += 1
        # Of normal noise the spread is 1.25 mean distances.
        spread = max(1.25 * self._distance, LEAST_SPREAD * self._mean)
        learning = self._frames <= LEARN_FRAMES
        off = size - self._mean
        kept = off if learning else min(max(off, -MOST_SPREADS * spread), MOST_SPREADS * spread)
        self._mean += max(1 / self._frames, 1 / SIZE_MEMORY_FRAMES) * kept
        self._distance += max(1 / self._frames, 1 / MEMORY_FRAMES) * (abs(kept) - self._distance)
        return 0.0 if learning else abs(off) / spread


class Glance:
    """Some thousand places of an uncompressed picture against their mean: whatever covers a few of them shows at once."""

    sees_picture = True

    def __init__(self) -> None:
        self._frames = 0
        self._mean: NDArray[np.float32] | None = None
        self._spread = 0.0

    def forget(self) -> None:
        """See `Hint.forget`."""
        self._frames = 0

    def score(self, raw: Image) -> float:
        """See `Hint.score`; ``raw`` is the luma, H x W."""
        import cv2

        rows, columns = max(1, raw.shape[0] // LINES), max(1, raw.shape[1] // COLUMNS)
        # Neighbours lessen the noise of single pixels.
        seen = cv2.blur(np.ascontiguousarray(raw[::rows, ::columns]), (3, 3)).astype(np.float32)
        if self._mean is None or not self._frames or self._mean.shape != seen.shape:
            self._mean, self._frames, self._spread = seen, 0, 0.0
        self._frames += 1
        off = cv2.subtract(seen, self._mean)
        middle = cv2.mean(off)[0]  # light that changes everywhere alike is no thing
        low, high, _, _ = cv2.minMaxLoc(off)
        deviation = math.sqrt(max(0.0, cv2.norm(off) ** 2 / off.size - middle**2))
        spread = max(self._spread, LEAST_GREY)
        learning = self._frames <= LEARN_FRAMES
        kept = deviation if learning else min(deviation, MOST_SPREADS * spread)
        self._spread += max(1 / self._frames, 1 / MEMORY_FRAMES) * (kept - self._spread)
        cv2.accumulateWeighted(seen, self._mean, max(1 / self._frames, 1 / MEMORY_FRAMES))
        return 0.0 if learning else max(high - middle, middle - low) / spread
