"""Whether a picture can be trusted at all: one mean and one spread per frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2

from bin_daemon.domain import Sight

if TYPE_CHECKING:
    from bin_daemon.config.settings import PlacementSettings
    from bin_daemon.domain import Image


def sight_of(grey8: Image, settings: PlacementSettings) -> Sight:
    """Judge a small grey picture (uint8, any H x W): too dark, too bright, without structure (lens covered), or fit for use."""
    mean, std = cv2.meanStdDev(grey8)
    if mean[0, 0] < settings.dark_grey:
        return Sight.TOO_DARK
    if mean[0, 0] > settings.bright_grey:
        return Sight.TOO_BRIGHT
    if std[0, 0] < settings.flat_std:
        return Sight.COVERED
    return Sight.OK
