"""Whether the picture rests, whatever the frame rate: measured against the picture at the beginning of the rest.

Not against the previous frame: so a slow hand adds up, and 5 and 60 frames per second judge alike.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from bin_daemon.placement.background import Reference

if TYPE_CHECKING:
    from bin_daemon.domain import Frame
    from bin_daemon.placement.background import Grey, Mask
    from bin_daemon.placement.states import Limits

NOISE_SHARE = 0.1
"""How fast the measured noise follows, per frame."""
NOISE_FRAMES = 4
"""While nothing moves, the noise of a noisy camera is measured in every fourth frame: it changes with the light, no faster."""
MEDIAN_TO_SPREAD = 1.05
"""Of normal noise: spread over the median's size (1.48), less what a second picture's noise adds (1.41)."""
CRUMBS = 10.0
"""An exposure that hunts leaves something around highlights: with a tenth more or less light twice as many cells may differ."""
MOST_CRUMBS = 2.0
"""And never more: what comes in while the light is another than at the beginning of the rest must be seen."""
SHINE_GREY = 225
SHINE_FRAC = 0.15
"""Near what is so bright a flickering lamp's bands are cut off; with more of it in the picture it is the tray that is bright."""
SAMPLE = 3
"""Every third cell in both directions is plenty for a median."""

_NEXT = np.ones((3, 3), np.uint8)


class Rest:
    """Frames that look alike. ``limits`` holds the camera's noise as measured here."""

    def __init__(self, limits: Limits, views: int) -> None:
        self.limits = limits
        self._anchor: Reference | None = None
        self._views: deque[Frame] = deque(maxlen=views)
        self._since_t_s = 0.0
        self._frames = 0

    @property
    def views(self) -> tuple[Frame, ...]:
        """The last frames of this rest, oldest first."""
        return tuple(self._views)

    def forget(self) -> None:
        """The next frame begins a new rest."""
        self._anchor = None

    def still_ms(self, t_s: float) -> float:
        """Since the first frame of this rest."""
        return (t_s - self._since_t_s) * 1000

    def is_settled(self, t_s: float, share: float = 1.0) -> bool:
        """Long enough, by the clock and by frames; ``share`` of the settle time will do."""
        settings = self.limits.settings
        return self.still_ms(t_s) >= share * settings.settle_ms and self._frames >= settings.settle_frames

    def moved(self, frame: Frame, grey: Grey) -> bool:
        """True for the first frame of a rest, and for all before."""
        if self._anchor is None or self._differs(self._anchor, grey):
            self._anchor = Reference(grey)
            self._since_t_s, self._frames = frame.t_s, 1
            self._views.clear()
            self._views.append(frame)
            return True
        self._frames += 1
        self._views.append(frame)
        return False

    def _differs(self, anchor: Reference, grey: Grey) -> bool:
        limit = self.limits.motion_grey
        furthest = float(cv2.norm(anchor.grey, grey, cv2.NORM_INF))
        if furthest < 0.5 * limit:  # an outline of a whole limit needs a difference of half of it somewhere
            self._measure(0.2 * furthest)
            return False
        changed = cv2.threshold(anchor.changes(grey), limit, 1, cv2.THRESH_BINARY)[1]
        is_still = cv2.countNonZero(changed) <= self.limits.motion_cells
        if is_still and self._frames % NOISE_FRAMES:
            return False
        left = anchor.outlines(grey)
        # The median is of bare tray even while a hand moves.
        self._measure(MEDIAN_TO_SPREAD * float(np.median(left[::SAMPLE, ::SAMPLE])))
        if is_still:
            return False
        crumbs = min(1 + CRUMBS * abs(anchor.gain(grey) - 1), MOST_CRUMBS)
        moving = (left > self.limits.motion_grey) & ~_near_shine(anchor.grey, grey)
        return int(np.count_nonzero(moving)) > crumbs * self.limits.motion_cells

    def _measure(self, spread_grey: float) -> None:
        known = self.limits.noise_grey
        noise = known + NOISE_SHARE * (spread_grey - known) if known else spread_grey
        if abs(noise - known) > 0.01:  # noqa: PLR2004 - grey levels, far below any limit
            self.limits = replace(self.limits, noise_grey=noise)


def _near_shine(anchor: Grey, grey: Grey) -> Mask:
    """Cells at highlights; none where a good part of the picture is one."""
    shine = (cv2.max(anchor, grey) >= SHINE_GREY).astype(np.uint8)
    if cv2.countNonZero(shine) > SHINE_FRAC * shine.size:
        shine[:] = 0
    return np.asarray(cv2.dilate(shine, _NEXT) > 0, np.bool_)
