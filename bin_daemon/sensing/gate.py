"""Which frames are worth looking at: all while the line is alert, a budget of some a second while nothing happens on the tray.

The camera goes on streaming at its own rate, so waking takes one frame period and no reopening, and nothing that is handed on is
ever older than that. What frames cost is their decoding and the detector: those that nobody needs are dropped before both.

Most of the budget is spent in turn, so that whatever comes is seen within a few frames. The rest goes to the frames with the
highest hints, however still or restless the camera is: the limit for a hint follows what the camera shows until it lets through
the share that is left. So weather costs nothing more, and a false hint costs one look.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from bin_daemon.sensing.slot import Pace

if TYPE_CHECKING:
    from bin_daemon.config.settings import CameraSettings
    from bin_daemon.domain import Image
    from bin_daemon.sensing.hints import Hint

AskPace = Callable[[], Pace]
"""How closely the line wants to look now; the camera's thread asks at each frame."""

TURN_SHARE = 0.9
"""Of the budget, for frames in turn."""

SEEING_SHARE = 1 / 3
"""Of the budget, for all looks of a camera whose hints see the picture: what comes in is not left to its turn there."""

LEAST_LOOKS_FPS = 1.0
"""A frozen camera is found out by two looks, and the model of the tray follows the light."""

HINT_SHARES = (0.02, 0.5)
"""Least and most share of the frames between that a hint lets through."""

FIRST_LIMIT = 3.0
LIMITS = (0.5, 30.0)
"""Spreads: the limit for a hint at the start, the lowest and the highest."""

LIMIT_STEP = 0.05
"""How fast the limit follows: it doubles within a second of nothing but hints at 15 frames per second."""

PERIOD_SHARE = 1 / 16
"""How fast the measured frame period follows, per frame."""

PERIOD_SLACK = 0.1
"""Frames: a camera that is a tenth of a frame off its nominal rate is not slowed by a whole frame for it."""

LONGEST_PERIOD_S = 1.0


def alert() -> Pace:
    """For cameras that nobody paces: every frame."""
    return Pace.ALERT


class Gate:
    """Opens for a frame that the line should see. One per opened camera; used by the camera's thread only."""

    def __init__(self, settings: CameraSettings, pace: AskPace = alert, hint: Hint | None = None) -> None:
        self._pace = pace
        self._hint = hint
        self._looks_fps = settings.idle_fps
        if hint and hint.sees_picture:
            self._looks_fps = max(LEAST_LOOKS_FPS, SEEING_SHARE * settings.idle_fps)
        # Measured, for cameras keep neither to what they were asked for nor, in dim light, to what they promised.
        self._period_s = 1.0 / settings.fps
        self._last_t_s: float | None = None
        self._opened_t_s: float | None = None
        self._limit = FIRST_LIMIT

    def opens(self, t_s: float, raw: Image | None = None) -> bool:
        """Whether the frame captured at ``t_s`` is wanted; ``raw`` is its buffer, where hints can be taken from it."""
        self._measure(t_s)
        wanted = self._is_due(t_s)
        if self._pace() is Pace.ALERT:
            if self._hint:
                self._hint.forget()
            wanted = True
        elif self._hint and raw is not None:
            wanted |= self._is_unusual(self._hint.score(raw))
        if wanted:
            self._opened_t_s = t_s
        return wanted

    def missed(self) -> None:
        """What was let through was of no use: the next frame is wanted."""
        self._opened_t_s = None

    def _measure(self, t_s: float) -> None:
        if self._last_t_s is not None and 0.0 < t_s - self._last_t_s <= LONGEST_PERIOD_S:
            self._period_s += PERIOD_SHARE * (t_s - self._last_t_s - self._period_s)
        self._last_t_s = t_s

    def _is_due(self, t_s: float) -> bool:
        # A clock that stands still or runs back tells nothing: then every frame is wanted.
        if self._opened_t_s is None or t_s <= self._opened_t_s:
            return True
        # Half a frame early: a camera's frames come with some jitter, and none should wait for a whole period more.
        return t_s - self._opened_t_s >= (self._turn - 0.5) * self._period_s

    @property
    def _turn(self) -> int:
        """Every how many frames one is wanted, whatever it shows."""
        share = TURN_SHARE if self._hint else 1.0
        return max(1, math.ceil(1.0 / (share * self._looks_fps * self._period_s) - PERIOD_SLACK))

    def _is_unusual(self, score: float) -> bool:
        unusual = score > self._limit
        if score > 0:
            limit = self._limit * math.exp(LIMIT_STEP * (unusual - self._hint_share))
            self._limit = min(max(limit, LIMITS[0]), LIMITS[1])
        return unusual

    @property
    def _hint_share(self) -> float:
        """Of the frames that are not in turn, for how many the budget has room."""
        if (turn := self._turn) == 1:
            return HINT_SHARES[0]
        fps = 1.0 / self._period_s
        left = (self._looks_fps - fps / turn) / (fps - fps / turn)
        return min(max(left, HINT_SHARES[0]), HINT_SHARES[1])
