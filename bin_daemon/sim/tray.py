"""The empty tray, seen from above: a plate of steel, plastic or paint in a bin's well, lit by one lamp.

Procedural, so that nothing need be shipped and no two seeds look the same.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bin_daemon.domain import Image

Floats = NDArray[np.float32]

MATERIALS = ("steel", "plastic", "paint")
RIM_FRAC = 0.055
"""Width of the rim around the plate, as a share of the short side."""

POOL, POOL_SIZE_HW = 32, (540, 960)
"""Trays that are kept (1.5 MB each) for close-ups: making one takes longer than composing fifty pictures."""

_PLATE_BGR = {
    # Grey levels as a web camera shows them under the bin's own lamp.
    "steel": ((150, 148, 142), (172, 170, 166)),
    "plastic": ((96, 98, 94), (150, 140, 132)),
    "paint": ((178, 190, 190), (205, 208, 205)),
}


def empty_tray(rng: np.random.Generator, size_hw: tuple[int, int], material: str | None = None) -> Image:
    """One empty tray, uint8 H x W x 3 BGR; ``material`` is one of `MATERIALS`, drawn when None."""
    kind = material or str(rng.choice(MATERIALS))
    low, high = np.asarray(_PLATE_BGR[kind], np.float32)
    plate = low + (high - low) * np.float32(rng.uniform())
    grey = _texture(kind, rng, size_hw) + _scratches(rng, size_hw) + _stains(rng, size_hw)
    light = _lamp(rng, size_hw) * _rim(rng, size_hw)
    picture = (plate + grey[..., None]) * light[..., None]
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def plate_patch(rng: np.random.Generator, size_hw: tuple[int, int]) -> Image:
    """A random cut of a tray without its rim, uint8 H x W x 3 BGR: the ground under one item seen close."""
    tray = _known_tray(int(rng.integers(POOL)))
    rim = _rim_px(POOL_SIZE_HW) * 2
    plate = tray[rim:-rim, rim:-rim]
    largest = min(plate.shape[0] / size_hw[0], plate.shape[1] / size_hw[1])
    zoom = float(rng.uniform(0.3, 0.95)) * largest
    height, width = (max(8, round(v * zoom)) for v in size_hw)
    y, x = (int(rng.integers(0, free + 1)) for free in (plate.shape[0] - height, plate.shape[1] - width))
    cut = plate[y : y + height, x : x + width]
    if rng.uniform() < 0.5:  # noqa: PLR2004 - a fair coin
        cut = cut[::-1, ::-1]
    return np.asarray(cv2.resize(cut, size_hw[::-1], interpolation=cv2.INTER_AREA), np.uint8)


@functools.lru_cache(maxsize=POOL)
def _known_tray(index: int) -> Image:
    return empty_tray(np.random.default_rng(index), POOL_SIZE_HW)


def _rim_px(size_hw: tuple[int, int]) -> int:
    return max(2, round(RIM_FRAC * min(size_hw)))


def _noise(rng: np.random.Generator, size_hw: tuple[int, int], blur_hw_px: tuple[float, float]) -> Floats:
    """Smooth noise of spread 1, made small and enlarged where the grain is coarse."""
    height, width = size_hw
    shrink_y, shrink_x = (max(1, int(px / 3)) for px in blur_hw_px)
    small = rng.standard_normal((height // shrink_y + 2, width // shrink_x + 2), np.float32)
    sigma_y, sigma_x = max(0.01, blur_hw_px[0] / shrink_y), max(0.01, blur_hw_px[1] / shrink_x)
    small = np.asarray(cv2.GaussianBlur(small, (0, 0), sigmaX=sigma_x, sigmaY=sigma_y), np.float32)
    small /= max(float(small.std()), 1e-6)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _texture(kind: str, rng: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    unit = min(size_hw) / 720
    broad = 2.0 * _noise(rng, size_hw, (90 * unit, 90 * unit))
    if kind == "steel":
        along = 60 * unit
        fine, coarse = 4.5 * _noise(rng, size_hw, (0.6, along)), 1.5 * _noise(rng, size_hw, (2.0, 3 * along))
    elif kind == "plastic":
        fine, coarse = 2.5 * _noise(rng, size_hw, (1.2, 1.2)), 1.5 * _noise(rng, size_hw, (6 * unit + 1, 6 * unit + 1))
    else:
        fine, coarse = (
            1.2 * _noise(rng, size_hw, (0.8, 0.8)),
            1.6 * _noise(rng, size_hw, (14 * unit + 1, 14 * unit + 1)),
        )
    return np.asarray(broad + fine + coarse, np.float32)


def _scratches(rng: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    height, width = size_hw
    lines = np.zeros(size_hw, np.float32)
    for _ in range(int(rng.integers(6, 18))):
        start = rng.uniform((0, 0), (width, height))
        angle, length = rng.uniform(0, np.pi), rng.uniform(0.02, 0.18) * width
        end = start + length * np.array((np.cos(angle), np.sin(angle)))
        shade = float(rng.uniform(-9, 12))
        cv2.line(lines, _point(start), _point(end), shade, 1, cv2.LINE_8)
    return np.asarray(cv2.GaussianBlur(lines, (0, 0), 0.7), np.float32)


def _stains(rng: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    """Dried drops and scuffs: what a tray looks like after a month of use."""
    height, width = size_hw
    marks = np.zeros(size_hw, np.float32)
    for _ in range(int(rng.integers(3, 9))):
        centre = _point(rng.uniform((0, 0), (width, height)))
        radius = max(1, int(rng.uniform(0.004, 0.03) * min(size_hw)))
        cv2.circle(marks, centre, radius, float(rng.uniform(-9, 4)), int(rng.choice((-1, 1, 2))), cv2.LINE_8)
    return np.asarray(cv2.GaussianBlur(marks, (0, 0), max(0.8, 0.004 * width)), np.float32)


def _lamp(rng: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    """Light of one lamp near an edge, and the lens's vignetting; 1 is the plate's own grey."""
    height, width = size_hw
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x / width - 0.5, (y - height / 2) / width
    lamp_x, lamp_y = rng.uniform(-0.45, 0.45), rng.uniform(-0.3, 0.3)
    distance = (x - lamp_x) ** 2 + (y - lamp_y) ** 2
    light = 0.80 + 0.28 * np.exp(-distance / 0.22)
    vignette = 1 - 0.42 * (x**2 + y**2)
    return np.asarray(light * vignette, np.float32)


def _rim(rng: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    """Factor of the light: a bright bevel around the plate, and the well's darker wall outside."""
    height, width = size_hw
    rim = _rim_px(size_hw)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    # Signed distance to a rounded rectangle, negative inside.
    corner = 1.6 * rim
    qx = np.abs(x - width / 2) - (width / 2 - rim - corner)
    qy = np.abs(y - height / 2) - (height / 2 - rim - corner)
    outside = np.hypot(np.maximum(qx, 0), np.maximum(qy, 0)) + np.minimum(np.maximum(qx, qy), 0) - corner
    bevel = 0.22 * np.exp(-((outside / (0.16 * rim)) ** 2))
    contact = -0.16 * np.exp(-np.abs(outside + 0.30 * rim) / (0.45 * rim))
    wall = np.float32(rng.uniform(0.36, 0.52)) - 1
    fade = 0.5 + 0.5 * np.tanh((outside - 0.18 * rim) / (0.12 * rim))
    return np.asarray(1 + bevel + contact * (1 - fade) + wall * fade, np.float32)


def _point(xy: NDArray[np.float64]) -> tuple[int, int]:
    return int(xy[0]), int(xy[1])
