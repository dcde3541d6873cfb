"""A plain frame-difference poller, as hobby bins and webcam alarms have it.

Grey, made small, blurred; differences from a stored picture of the empty tray and from the last picture; threshold, dilate,
contours by area. The tray is stored anew while nothing differs, after a lid has shut, and when a difference stays for too long.
The kind of program: the motion tutorials with ``cv2.absdiff`` and ``contourArea`` that most of them begin with, and sorting
bins such as kejryan/simplesort-mytestrepo, which compares the picture with that of a second ago.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from tests.scenes.peers.settling import Rule, Settling

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bin_daemon.domain import Box, Image
    from tests.scenes.score import Said


@dataclass(frozen=True, slots=True)
class PollerSettings:
    """Tuned on seed 1 of the everyday slice."""

    blur_px: int = 9
    threshold_grey: int = 20
    area_frac: float = 0.0015
    """Smallest contour, share of the picture."""
    dilate: int = 2
    motion_frac: float = 0.0008
    """Share of the picture that must differ from the last one to count as motion."""
    follow: float = 0.05
    """How fast the stored picture follows while nothing differs, share of each frame."""
    stuck_s: float = 12.0
    """What has differed for so long is tray."""
    relearns: bool = True
    """Stores the tray anew when a lid has shut."""
    rule: Rule = field(default_factory=Rule)


class Poller:
    """``size``: of the pictures it is given, pixels."""

    def __init__(self, size: tuple[int, int], settings: PollerSettings | None = None) -> None:
        settings = settings or PollerSettings()
        self._settings, self._pixels = settings, size[0] * size[1]
        self._settling = Settling(size, settings.rule)
        self._tray: NDArray[np.float32] | None = None
        self._last: Image | None = None
        self._differs_s: float | None = None
        self._paused = False

    def see(self, bgr: Image, t_s: float, *, rest: bool) -> Said | None:
        """A placement, or nothing. ``rest``: no lid moves or stands open."""
        blur = self._settings.blur_px
        grey = np.asarray(cv2.GaussianBlur(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), (blur, blur), 0), np.uint8)
        last, self._last = self._last, grey
        if not rest:
            self._settling.pause()
            self._paused = True
            return None
        if self._paused and self._settings.relearns:
            self._tray = None
            self._settling.forget()
        self._paused = False
        if self._tray is None or last is None:
            self._tray, self._differs_s = grey.astype(np.float32), None
            return None
        moves = cv2.countNonZero(self._differing(grey, last)) > self._settings.motion_frac * self._pixels
        boxes = self._boxes(self._differing(grey, np.asarray(cv2.convertScaleAbs(self._tray), np.uint8)))
        self._learn(grey, t_s, differs=bool(boxes), moves=moves)
        return self._settling.update(t_s, boxes, moves=moves)

    def _differing(self, one: Image, two: Image) -> Image:
        away = cv2.absdiff(one, two)
        return np.asarray(cv2.threshold(away, self._settings.threshold_grey, 255, cv2.THRESH_BINARY)[1], np.uint8)

    def _boxes(self, mask: Image) -> list[Box]:
        mask = np.asarray(cv2.dilate(mask, None, iterations=self._settings.dilate), np.uint8)  # type: ignore[call-overload]
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        least = self._settings.area_frac * self._pixels
        return [boxed(cv2.boundingRect(c)) for c in contours if cv2.contourArea(c) > least]

    def _learn(self, grey: Image, t_s: float, *, differs: bool, moves: bool) -> None:
        if not differs:
            self._differs_s = None
            if not moves and self._tray is not None:
                cv2.accumulateWeighted(grey, self._tray, self._settings.follow)
            return
        self._differs_s = t_s if self._differs_s is None or moves else self._differs_s
        if t_s - self._differs_s > self._settings.stuck_s:
            self._tray, self._differs_s = grey.astype(np.float32), None


def boxed(rect: cv2.typing.Rect) -> Box:
    """The same as plain integers."""
    x, y, w, h = rect
    return int(x), int(y), int(w), int(h)
