"""Which frames are worth decoding: all while the line is alert, a few a second while nothing happens on the tray.

The camera goes on streaming at its own rate, so waking takes one frame period and no reopening, and nothing that is handed on is
ever older than that. What frames cost is their decoding: those that nobody needs are dropped before it.

A JPEG tells something even unread: its byte count. An empty tray's frames differ by the sensor's noise alone; a hand that comes
in adds outlines. A frame of unusual size is decoded at once, and the detector judges it: a false hint costs one small decode.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bin_daemon.sensing.slot import Pace

if TYPE_CHECKING:
    from bin_daemon.config.settings import CameraSettings

AskPace = Callable[[], Pace]
"""How closely the line wants to look now; the camera's thread asks at each frame."""

HINT_SPREADS = 2.0
"""A size this many times its usual spread away from the mean is a hint: by chance one frame in twenty."""

LEARN_FRAMES = 8
"""Sizes seen before a hint is trusted; the idle frames are looked at meanwhile as well."""

MEMORY_FRAMES = 32
"""How many sizes the mean and the spread remember: slow light must not look like a hint for ever."""

LEAST_SPREAD = 0.0003
"""Of the mean. Cameras whose frames hardly differ in size would give hints for a few bytes."""


def alert() -> Pace:
    """For cameras that nobody paces: every frame."""
    return Pace.ALERT


class Gate:
    """Opens for a frame that the line should see. One per camera; used by the camera's thread only."""

    def __init__(self, settings: CameraSettings, pace: AskPace = alert) -> None:
        # Half a frame early: a camera's frames come with some jitter, and none should wait for a whole period more.
        self._period_s = 1.0 / settings.idle_fps - 0.5 / settings.fps
        self._pace = pace
        self._opened_t_s: float | None = None
        self._sizes = Sizes()

    def opens(self, t_s: float, size: int = 0) -> bool:
        """Whether the frame captured at ``t_s`` is wanted; ``size`` is its byte count where that tells anything, else 0."""
        wanted = self._is_due(t_s)
        if self._pace() is Pace.ALERT:
            self._sizes.forget()
            wanted = True
        elif size:
            wanted |= self._sizes.is_unusual(size)
        if wanted:
            self._opened_t_s = t_s
        return wanted

    def missed(self) -> None:
        """What was let through was of no use: the next frame is wanted."""
        self._opened_t_s = None

    def _is_due(self, t_s: float) -> bool:
        # A clock that stands still or runs back tells nothing: then every frame is wanted.
        return self._opened_t_s is None or not 0.0 < t_s - self._opened_t_s < self._period_s


class Sizes:
    """The byte counts of an idle camera's frames: their mean and mean distance from it."""

    def __init__(self) -> None:
        self._frames = 0
        self._mean = self._distance = 0.0

    def forget(self) -> None:
        """Learn anew: what moved on the tray is no measure for an empty one."""
        self._frames = 0

    def is_unusual(self, size: int) -> bool:
        """Take the next size; True for a hint. A size that stays becomes the usual one within `MEMORY_FRAMES`."""
        if not self._frames:
            self._mean, self._distance = float(size), 0.0
        self._frames += 1
        off = abs(size - self._mean)
        # Of normal noise the spread is 1.25 mean distances.
        spread = max(1.25 * self._distance, LEAST_SPREAD * self._mean)
        unusual = self._frames > LEARN_FRAMES and off > HINT_SPREADS * spread
        share = 1.0 / min(self._frames, MEMORY_FRAMES)
        self._mean += share * (size - self._mean)
        self._distance += share * (min(off, 2 * HINT_SPREADS * spread) - self._distance)
        return unusual
