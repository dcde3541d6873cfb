"""OpenCV's MOG2: a mixture of Gaussians a pixel, with its defaults but for what tuning bettered; shadows told apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from tests.scenes.peers.poller import boxed
from tests.scenes.peers.settling import Rule, Settling

if TYPE_CHECKING:
    from bin_daemon.domain import Box, Image
    from tests.scenes.score import Said

FOREGROUND = 255
"""Its mask's value; 127 is shadow."""


@dataclass(frozen=True, slots=True)
class Mog2Settings:
    """Tuned on every third condition of seed 1 of the everyday slice."""

    history: int = 500
    var_threshold: float = 16.0
    open_px: int = 3
    close_px: int = 9
    area_frac: float = 0.0008
    """Smallest contour, share of the picture."""
    frozen: bool = False
    """Learns nothing while something was placed and not cleared."""
    relearns: bool = True
    """Begins anew when a lid has shut."""
    rule: Rule = field(default_factory=lambda: Rule(again_frac=0.0))


class Mog2:
    """``size``: of the pictures it is given, pixels."""

    def __init__(self, size: tuple[int, int], settings: Mog2Settings | None = None) -> None:
        settings = settings or Mog2Settings()
        self._settings, self._pixels = settings, size[0] * size[1]
        self._settling = Settling(size, settings.rule)
        self._begin()
        self._paused = False

    def _begin(self) -> None:
        s = self._settings
        self._model = cv2.createBackgroundSubtractorMOG2(s.history, s.var_threshold, detectShadows=True)
        self._begun = False

    def see(self, bgr: Image, t_s: float, *, rest: bool) -> Said | None:
        """A placement, or nothing. ``rest``: no lid moves or stands open."""
        if not rest:
            self._settling.pause()
            self._paused = True
            return None
        if self._paused and self._settings.relearns:
            self._begin()
            self._settling.forget()
        self._paused = False
        holds = self._settings.frozen and not self._settling.is_clear
        # A fresh model learns its second frame by half and an item within four: it gets the rate that it has after `history`.
        mask = self._model.apply(bgr, learningRate=0.0 if holds else 1 / self._settings.history if self._begun else 1.0)
        if not self._begun:
            self._begun = True
            return None
        return self._settling.update(t_s, self._boxes(np.asarray(mask, np.uint8)))

    def _boxes(self, mask: Image) -> list[Box]:
        solid = np.asarray((mask == FOREGROUND), np.uint8)
        for operation, px in ((cv2.MORPH_OPEN, self._settings.open_px), (cv2.MORPH_CLOSE, self._settings.close_px)):
            solid = np.asarray(cv2.morphologyEx(solid, operation, np.ones((px, px), np.uint8)), np.uint8)
        contours, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        least = self._settings.area_frac * self._pixels
        return [boxed(cv2.boundingRect(c)) for c in contours if cv2.contourArea(c) > least]
