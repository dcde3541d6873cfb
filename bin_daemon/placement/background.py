"""The empty tray as the camera sees it, and what differs from it whatever the lamps and the exposure do.

A camera's automatic exposure, a lamp switched on and the evening all multiply the picture by a factor. That factor is the
median of the ratio to the tray model: an item covers less than half of the region, so the median is of bare tray. What the
factor cannot explain is an item, a hand or a shadow. Slow uneven changes are followed by a running average, only while the tray
is empty and still.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bin_daemon.domain import Image

    Grey = NDArray[np.float32]
    Mask = NDArray[np.bool_]

CLIPPED_GREY = 250
"""From here on a sensor may be saturated: dimmer light leaves such a place as bright as before, which means nothing."""

SAMPLE_STEP = 3
"""Every third pixel in both directions is plenty for a median."""

GAIN_RANGE = (0.2, 5.0)
"""A factor beyond this is not light but another picture."""


DARKEST_GAIN = 0.5
"""Contrast is lifted for light down to this factor; beyond, the sensor's noise would be lifted into view as well."""

SHARP_CELLS = 9
"""Side of the window, in grey8 cells, within which an outline shows and a soft shadow's edge does not."""


def smooth(grey8: Image) -> Grey:
    """Mean of 3 x 3, float32: noise of single pixels is worth nothing here."""
    return np.asarray(cv2.blur(grey8, (3, 3)), np.float32)


def gain_between(reference: Grey, grey: Grey) -> float:
    """The factor that makes ``reference`` look lit like ``grey``: median of the ratio."""
    ratio = (grey[::SAMPLE_STEP, ::SAMPLE_STEP] + 1) / (reference[::SAMPLE_STEP, ::SAMPLE_STEP] + 1)
    middle = ratio.size // 2
    return min(max(float(np.partition(ratio, middle, axis=None)[middle]), GAIN_RANGE[0]), GAIN_RANGE[1])


def difference(reference: Grey, grey: Grey) -> Grey:
    """Signed difference of ``grey`` to ``reference`` lit alike; 0 where saturation hides the light.

    In grey levels of the reference's light where it has become darker since: an item's contrast fades with the lamp.
    """
    gain = gain_between(reference, grey)
    lift = 1.0 / min(1.0, max(gain, DARKEST_GAIN))
    found = np.asarray(cv2.addWeighted(grey, lift, reference, -gain * lift, 0.0), np.float32)
    if cv2.minMaxLoc(grey)[1] >= CLIPPED_GREY:
        expected = reference * np.float32(gain)
        brighter = (grey >= CLIPPED_GREY) & (expected >= CLIPPED_GREY)
        found[brighter | ((reference >= CLIPPED_GREY) & (found > 0))] = 0
    return found


def sharp(found: Grey) -> Grey:
    """The outlines in a difference: its unsigned distance to the mean around. Soft shadows and uneven light vanish."""
    return np.asarray(cv2.absdiff(found, cv2.blur(found, (SHARP_CELLS, SHARP_CELLS))), np.float32)


class EmptyTray:
    """Model of the empty tray: one float32 picture of the region, at the light of when it was learnt."""

    def __init__(self, time_constant_s: float) -> None:
        self._time_constant_s = time_constant_s
        self._grey: Grey | None = None
        self._t_s = 0.0

    @property
    def grey(self) -> Grey | None:
        """The learnt picture, None before `learn`."""
        return self._grey

    def forget(self) -> None:
        """Know nothing again."""
        self._grey = None

    def learn(self, grey: Grey, t_s: float) -> None:
        """Take ``grey`` for the empty tray."""
        self._grey, self._t_s = grey.copy(), t_s

    def difference(self, grey: Grey) -> Grey:
        """What the light cannot explain, see `difference`. The tray must have been learnt."""
        if self._grey is None:
            raise ValueError("placement: the empty tray has not been learnt")
        return difference(self._grey, grey)

    def follow(self, grey: Grey, t_s: float) -> None:
        """Move towards ``grey``, seen at ``t_s``, with the time constant: by elapsed time, not by frames."""
        if self._grey is None:
            return
        elapsed_s, self._t_s = max(0.0, t_s - self._t_s), t_s
        cv2.accumulateWeighted(grey, self._grey, 1.0 - math.exp(-min(elapsed_s, 1.0) / self._time_constant_s))

    def accept(self, grey: Grey, where: Mask) -> None:
        """Take ``grey`` for the tray where ``where`` is true, at the model's own light."""
        if self._grey is not None:
            self._grey[where] = grey[where] / np.float32(gain_between(self._grey, grey))
