"""A cheap USB camera: automatic exposure that hunts, white balance that drifts, mains flicker, noise, tone curve, JPEG.

The watched picture is made small first: `Sensor.grey8` equals the mean grey of 8 x 8 blocks of `Sensor.bgr` but for rounding,
which a test pins. In a JPEG a block's mean is its DC coefficient, so its coarse steps are the quantiser's.
"""

from __future__ import annotations

import functools
import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from bin_daemon.sim.suite.light import CELL_PX, READ_S

if TYPE_CHECKING:
    from bin_daemon.domain import Image
    from bin_daemon.sim.suite.light import Field

BLOCK = 8
SPARE = 64
"""The noise tile is this much larger than the picture, so that each frame takes another part of it."""
GAIN_RANGE = (0.25, 4.0)
DEAD_BAND = 0.04
"""Exposure within this of its target is left alone, as cameras do."""
MOST_AT_ONCE = 0.5
"""Share of the way to its target that the exposure goes in one frame at the most: more, and a late loop never settles."""


@dataclass(frozen=True, slots=True)
class SensorSettings:
    """One camera. The defaults are a good one in good light."""

    noise_grey: float = 2.2
    """Spread of one pixel's noise at gain 1, grey levels; grows with the root of the gain."""
    tone: float = 1.0
    """Exponent of the tone curve on top of the display's gamma."""
    auto_exposure: bool = True
    exposure_target: float = 125.0
    """Mean grey that the automatic exposure wants."""
    exposure_tau_s: float = 0.5
    exposure_delay_s: float = 0.1
    """The exposure answers to what was seen so long ago; with a time constant that is not much longer it overshoots."""
    hunt: float = 0.0
    """Amplitude of an exposure that never comes to rest, share of the gain."""
    hunt_hz: float = 0.7
    white_drift: float = 0.0
    """Amplitude of the white balance's slow drift, share of red and blue."""
    flicker: float = 0.0
    """Amplitude of the mains' flicker as rolling bands, share of the light."""
    mains_hz: float = 50.0
    jpeg_quality: int = 90
    shutter_s: float = 0.012
    lost_share: float = 0.0
    """Share of frames that never arrive."""
    doubled_share: float = 0.0
    """Share of frames that show the picture before once more."""


@dataclass(frozen=True, slots=True)
class Shot:
    """How one frame was taken."""

    t_s: float
    gain: float
    noise_xy: tuple[int, int]


class Exposure:
    """The automatic exposure: a loop over the pictures that it made itself."""

    def __init__(self, settings: SensorSettings, first_mean: float) -> None:
        self._settings = settings
        low, high = GAIN_RANGE
        wanted = settings.exposure_target / max(first_mean, 1.0)
        self.gain = min(max(wanted, low), high) if settings.auto_exposure else 1.0
        self._seen: deque[tuple[float, float]] = deque()
        self._t_s = 0.0

    def saw(self, mean: float, dt_s: float) -> None:
        """A frame of this mean grey was taken; ``dt_s`` since the one before."""
        self._t_s += dt_s
        self._seen.append((self._t_s, max(mean, 1.0)))
        while len(self._seen) > 1 and self._seen[1][0] <= self._t_s - self._settings.exposure_delay_s:
            self._seen.popleft()
        off = self._settings.exposure_target / self._seen[0][1]
        if not self._settings.auto_exposure or abs(off - 1) < DEAD_BAND:
            return
        step = min(MOST_AT_ONCE, 1 - math.exp(-dt_s / self._settings.exposure_tau_s))
        self.gain = min(max(self.gain * off**step, GAIN_RANGE[0]), GAIN_RANGE[1])

    def at(self, t_s: float) -> float:
        """The gain with which a frame is taken at ``t_s``."""
        return self.gain * (1 + self._settings.hunt * math.sin(2 * math.pi * self._settings.hunt_hz * t_s))


class Sensor:
    """Turns a lit picture of the tray into what the camera sends."""

    def __init__(self, settings: SensorSettings, size: tuple[int, int]) -> None:
        self.settings, self._size = settings, size
        levels = (np.arange(256) / 255.0) ** settings.tone * 255
        self._tone = np.clip(np.rint(levels), 0, 255).astype(np.uint8) if settings.tone != 1.0 else None

    def grey8(self, picture: Image, light: Field | float, shot: Shot) -> Image:
        """The watched picture: grey, H/8 x W/8, from ``picture`` (grey, 2 to 4 times smaller than the full frame)."""
        lit = self._lit(picture, light, shot)
        if self._tone is not None:
            lit = np.asarray(cv2.LUT(lit, self._tone), np.uint8)
        size = (-(-self._size[0] // BLOCK), -(-self._size[1] // BLOCK))
        small = cv2.resize(lit, size, interpolation=cv2.INTER_AREA)
        x, y = shot.noise_xy[0] // BLOCK, shot.noise_xy[1] // BLOCK
        noise = noise_tile_grey8(self._size)[y : y + size[1], x : x + size[0]]
        noisy = cv2.scaleAdd(noise, self._noise(shot), small.astype(np.float32))
        step = dc_step(self.settings.jpeg_quality)
        if step > 1:
            noisy = np.rint((noisy - 128) / step) * step + 128
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)

    def bgr(self, picture: Image, light: Field | float, shot: Shot) -> Image:
        """The full picture, H x W x 3, from ``picture`` (BGR, full size)."""
        lit = self._lit(picture, light, shot)
        if self._tone is not None:
            lit = np.asarray(cv2.LUT(lit, self._tone), np.uint8)
        x, y = shot.noise_xy
        noise = noise_tile(self._size)[y : y + lit.shape[0], x : x + lit.shape[1]] * np.float32(self._noise(shot))
        drift = self.settings.white_drift * math.sin(2 * math.pi * shot.t_s / 41)
        # Green carries the luma; red and blue go against each other so that a grey thing stays as bright.
        balance = (1 - 2.62 * drift, 1.0, 1 + drift)
        channels = [
            cv2.add(one.astype(np.float32) * np.float32(factor), noise, dtype=cv2.CV_8U)
            for one, factor in zip(cv2.split(lit), balance, strict=True)
        ]
        sharp = np.asarray(cv2.merge(channels), np.uint8)
        sent = cv2.imencode(".jpg", sharp, [cv2.IMWRITE_JPEG_QUALITY, self.settings.jpeg_quality])[1]
        return np.asarray(cv2.imdecode(sent, cv2.IMREAD_COLOR), np.uint8)

    def _noise(self, shot: Shot) -> float:
        return self.settings.noise_grey * math.sqrt(max(shot.gain, 0.2))

    def _lit(self, picture: Image, light: Field | float, shot: Shot) -> Image:
        """Light, exposure and flicker in one factor per place, rounded and clipped as a converter does."""
        factor = light * shot.gain
        if self.settings.flicker > 0:
            factor = factor * self._bands(shot.t_s)
        if isinstance(factor, float):
            return np.asarray(cv2.convertScaleAbs(picture, alpha=factor), np.uint8)
        size = (picture.shape[1], picture.shape[0])
        field = np.asarray(cv2.resize(np.asarray(factor, np.float32), size), np.float32)
        if picture.ndim > 2:  # noqa: PLR2004 - a picture with channels
            field = np.asarray(cv2.merge((field, field, field)), np.float32)
        return np.asarray(cv2.multiply(picture, field, dtype=cv2.CV_8U), np.uint8)

    def _bands(self, t_s: float) -> Field:
        """The flicker's factor by cells: lamps pulse at twice the mains, a rolling shutter reads row after row."""
        rows, columns = -(-self._size[1] // CELL_PX), -(-self._size[0] // CELL_PX)
        read_s = np.linspace(0, READ_S, rows, dtype=np.float64)
        wave = 1 + self.settings.flicker * np.sin(2 * np.pi * 2 * self.settings.mains_hz * (t_s + read_s))
        return np.asarray(np.repeat(wave.astype(np.float32)[:, None], columns, axis=1), np.float32)


def dc_step(quality: int) -> float:
    """Steps of a block's mean grey in a JPEG of ``quality``: the standard table's first entry, 16, scaled, over 8 pixels."""
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality  # noqa: PLR2004 - as libjpeg's jpeg_quality_scaling
    return max(1, math.floor((16 * scale + 50) / 100)) / BLOCK


@functools.lru_cache(maxsize=4)
def noise_tile(size: tuple[int, int]) -> Field:
    """Noise of spread 1, fine with a little coarse blotch, `SPARE` larger than the picture; never change it."""
    rng = np.random.default_rng(size)
    shape = (size[1] + SPARE, size[0] + SPARE)
    fine = np.asarray(cv2.GaussianBlur(rng.standard_normal(shape, np.float32), (0, 0), 0.5), np.float32)
    coarse = cv2.resize(rng.standard_normal((shape[0] // 4, shape[1] // 4), np.float32), shape[::-1])
    return np.asarray(fine / float(fine.std()) + np.asarray(coarse, np.float32) * 0.25, np.float32)


@functools.lru_cache(maxsize=4)
def noise_tile_grey8(size: tuple[int, int]) -> Field:
    """What is left of `noise_tile` in means of 8 x 8 pixels."""
    tile = noise_tile(size)
    small = (tile.shape[1] // BLOCK, tile.shape[0] // BLOCK)
    cut = tile[: small[1] * BLOCK, : small[0] * BLOCK]
    return np.asarray(cv2.resize(cut, small, interpolation=cv2.INTER_AREA), np.float32)
