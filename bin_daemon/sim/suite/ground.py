"""What the item lies on: plates of the simulator, plates with a pattern, and photographs of empty tables where there are some."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from bin_daemon.sim.tray import MATERIALS, empty_tray

if TYPE_CHECKING:
    from bin_daemon.domain import Image

PATTERNS = ("perforated", "wood", "terrazzo")
PLATES = ("empty_plate_table_640x360.png", "empty_plate_conveyor_480x270.png")
"""Photographs looked for in the folder of scenes."""
VARIANTS = 3
"""Different trays of one kind and size; making one takes a tenth of a second."""


def kinds(folder: Path | None = None) -> tuple[str, ...]:
    """All kinds of ground; photographs only where ``folder`` holds them."""
    photographs = () if folder is None else tuple(str(folder / name) for name in PLATES if (folder / name).is_file())
    return (*MATERIALS, *PATTERNS, *photographs)


@functools.lru_cache(maxsize=16)
def ground(kind: str, variant: int, size: tuple[int, int]) -> Image:
    """The empty tray, uint8 H x W x 3, BGR, in the bin's own light; never change it."""
    rng = np.random.default_rng((variant, *size))
    if kind in MATERIALS:
        return empty_tray(rng, size[::-1], kind)
    if kind in PATTERNS:
        base = empty_tray(rng, size[::-1], "steel" if kind == "perforated" else "plastic")
        pattern = {"perforated": _perforated, "wood": _wood, "terrazzo": _terrazzo}[kind](rng, size)
        return np.asarray(np.clip(base.astype(np.float32) * pattern, 0, 255), np.uint8)
    return _photograph(kind, variant, size)


@functools.lru_cache(maxsize=48)
def small_ground(kind: str, variant: int, size: tuple[int, int], shrink: int) -> Image:
    """`ground` in grey, ``shrink`` times smaller; never change it."""
    grey = cv2.cvtColor(ground(kind, variant, size), cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.resize(grey, (size[0] // shrink, size[1] // shrink), interpolation=cv2.INTER_AREA), np.uint8)


def _photograph(path: str, variant: int, size: tuple[int, int]) -> Image:
    picture = cv2.imread(path)
    if picture is None:
        raise FileNotFoundError(path)
    scale = max(size[0] / picture.shape[1], size[1] / picture.shape[0])
    large = cv2.resize(picture, None, fx=scale * 1.02, fy=scale * 1.02, interpolation=cv2.INTER_CUBIC)
    large = (large, large[:, ::-1], large[::-1])[variant % 3]
    return np.ascontiguousarray(large[: size[1], : size[0]], np.uint8)


def _perforated(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Rows of round holes, as of a draining tray."""
    pitch = float(rng.uniform(0.05, 0.08)) * min(size)
    y, x = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
    x += (np.floor(y / pitch) % 2) * pitch / 2
    away = np.hypot(x % pitch - pitch / 2, y % pitch - pitch / 2)
    hole = 1 / (1 + np.exp(np.clip((away - 0.2 * pitch) / 1.5, -30, 30)))
    return np.asarray(1 - 0.65 * hole, np.float32)[..., None]


def _wood(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Planks with wavy grain."""
    y = np.mgrid[0 : size[1], 0 : size[0]][0].astype(np.float32)
    small = rng.standard_normal((9, 5), np.float32)
    wave = np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_CUBIC), np.float32) * 0.02 * size[1]
    grain = np.sin((y + wave) / (0.006 * size[1])) * 0.5 + np.sin((y + wave) / (0.017 * size[1]) + 1)
    plank = np.abs((y % (0.26 * size[1])) - 0.13 * size[1]) > 0.127 * size[1]
    shade = np.asarray(1 + 0.05 * grain - 0.35 * plank, np.float32)
    return np.asarray(shade[..., None] * np.array((0.72, 0.95, 1.2), np.float32), np.float32)


def _terrazzo(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Chips of light and dark stone, the size of small items."""
    picture = np.ones((size[1], size[0]), np.float32)
    for _ in range(420):
        middle = rng.uniform(0, 1, 2) * size
        axes = rng.uniform(0.004, 0.02, 2) * min(size)
        shade = float(rng.uniform(0.72, 1.3))
        box = (tuple(map(float, middle)), tuple(map(float, 2 * axes)), float(rng.uniform(0, 180)))
        cv2.ellipse(picture, box, shade, -1)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.0), np.float32)[..., None]
