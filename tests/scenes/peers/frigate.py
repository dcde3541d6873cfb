"""Frigate's motion detector, written anew from what its documentation and defaults tell, as a peer to measure against.

The luma of each frame is made small without averaging, its contrast stretched, blurred, and compared with a running average; what
differs by a threshold and hangs together for an area is motion. Chosen in its favour: OpenCV's blur in place of scipy's, no
pipe between the decoder and this process, no masks. It says nothing of items: `Frigate` puts the rule of all peers on its boxes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from tests.scenes.peers.settling import Rule, Settling

if TYPE_CHECKING:
    from bin_daemon.domain import Box, Image
    from tests.scenes.score import Said

FRAME_HEIGHT = 100
THRESHOLD_GREY = 30
CONTOUR_AREA = 10
FRAME_ALPHA = 0.01
LIGHTNING_FRAC = 0.8
"""Its configuration's defaults."""

CALIBRATING_ALPHA = 0.2
CALIBRATED_FRAC = 0.05
CALIBRATED_BOXES = 4
PATIENT_FRAMES = 10
"""What differs is taken into the average only when it has lasted for so many frames."""
CONTRAST_FRAMES = 50
CONTRAST_PERCENTILES = (4, 96)


class FrigateMotion:
    """Motion by a running average. ``size`` is the frame's width and height, pixels."""

    def __init__(
        self, size: tuple[int, int], *, threshold_grey: int = THRESHOLD_GREY, contour_area: float = CONTOUR_AREA
    ) -> None:
        self.scale = size[1] / FRAME_HEIGHT
        """Full-frame pixels for one of its own."""
        self.calibrating = True
        self._threshold_grey, self._contour_area = threshold_grey, contour_area
        self._small = (round(size[0] / self.scale), FRAME_HEIGHT)
        self._average = np.zeros(self._small[::-1], np.float32)
        self._contrasts = np.zeros((CONTRAST_FRAMES, 2))
        self._contrasts[:, 1] = 255
        self._frames = 0
        self._motion_frames = 0

    def update(self, luma: Image) -> list[Box]:
        """Boxes (x, y, w, h) of motion in full-frame pixels; ``luma`` is uint8 H x W. None while it calibrates itself."""
        grey = self._prepared(luma)
        away = cv2.absdiff(grey, cv2.convertScaleAbs(self._average))
        differs = cv2.threshold(away, self._threshold_grey, 255, cv2.THRESH_BINARY)[1]
        differs = cv2.dilate(differs, None)  # type: ignore[call-overload]
        contours, _ = cv2.findContours(differs, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        areas = [cv2.contourArea(x) for x in contours]
        boxes = [cv2.boundingRect(x) for x, area in zip(contours, areas, strict=True) if area > self._contour_area]
        share = sum(areas) / grey.size
        if share < CALIBRATED_FRAC and len(boxes) <= CALIBRATED_BOXES:
            self.calibrating = False
        if share > LIGHTNING_FRAC:
            self.calibrating = True
        self._motion_frames = self._motion_frames + 1 if boxes else 0
        if not boxes or self._motion_frames >= PATIENT_FRAMES:
            cv2.accumulateWeighted(grey, self._average, CALIBRATING_ALPHA if self.calibrating else FRAME_ALPHA)
        return [] if self.calibrating else [self._full(x) for x in boxes]

    def know(self, luma: Image) -> None:
        """Take ``luma`` for the average, as if it had been seen for minutes: nothing to calibrate."""
        self._average = self._prepared(luma).astype(np.float32)
        self.calibrating = False

    def _prepared(self, luma: Image) -> Image:
        grey = cv2.resize(luma, self._small, interpolation=cv2.INTER_NEAREST)
        low, high = np.percentile(grey, CONTRAST_PERCENTILES)
        if low < high:
            self._contrasts[self._frames % CONTRAST_FRAMES] = low, high
            self._frames += 1
            low, high = self._contrasts.mean(axis=0)
            grey = ((np.clip(grey, low, high) - low) / (high - low) * 255).astype(np.uint8)
        return np.asarray(cv2.GaussianBlur(grey, (3, 3), 1), np.uint8)

    def _full(self, box: cv2.typing.Rect) -> Box:
        x, y, width, height = (round(value * self.scale) for value in box)
        return x, y, width, height


@dataclass(frozen=True, slots=True)
class FrigateSettings:
    """Tuned on seed 1 of the everyday slice: threshold and rule; with the default threshold, 30, it placed fewer items."""

    threshold_grey: int = 40
    contour_area: float = CONTOUR_AREA
    relearns: bool = True
    """Takes the first picture after a lid has shut for its average; without, only the clip's first."""
    rule: Rule = field(default_factory=lambda: Rule(same_frac=0.4, clear_s=0.8, again_frac=0.0, large_frac=0.4))


class Frigate:
    """Its motion boxes, and the rule of all peers. ``size``: of the full frames, pixels."""

    def __init__(self, size: tuple[int, int], settings: FrigateSettings | None = None) -> None:
        settings = settings or FrigateSettings()
        self._motion = FrigateMotion(size, threshold_grey=settings.threshold_grey, contour_area=settings.contour_area)
        self._settling = Settling(size, settings.rule)
        self._relearns = settings.relearns
        self._begun = self._paused = False

    def see(self, luma: Image, t_s: float, *, rest: bool) -> Said | None:
        """A placement, or nothing. ``luma`` is uint8 H x W in full; ``rest``: no lid moves or stands open."""
        if not rest:
            self._settling.pause()
            self._paused = True
            return None
        if not self._begun or (self._paused and self._relearns):
            self._motion.know(luma)
            self._settling.forget()
        self._begun, self._paused = True, False
        return self._settling.update(t_s, self._motion.update(luma))


def luma_of_yuyv(packed: Image) -> Image:
    """Its way to the luma of an uncompressed frame, without what the chroma costs it."""
    return np.ascontiguousarray(packed[:, :, 0])


def luma_of_jpeg(buffer: Image) -> Image:
    """Its way to the luma: the whole picture decoded and turned into I420, of which the upper two thirds are the luma."""
    bgr = cv2.imdecode(buffer, cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError("a damaged JPEG")
    i420 = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420), np.uint8)
    return i420[: bgr.shape[0]]
