"""The dark opening that a lid uncovers at one side of the tray."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from bin_daemon.sim.tray import RIM_FRAC

if TYPE_CHECKING:
    from bin_daemon.domain import Image

DEPTH_FRAC = 0.24
"""Width of the opening, as a share of the picture's short side."""
_SIDES = 4


class Well:
    """Openings at the left, right, far and near side, for lids 1, 2, 3, 4; further lids start again at the left."""

    def __init__(self, rng: np.random.Generator, size_hw: tuple[int, int]) -> None:
        self._size_hw = size_hw
        height, width = size_hw
        shade = np.linspace(30, 7, 64, dtype=np.float32)[:, None, None] * np.array((1.0, 0.98, 0.94), np.float32)
        rough = shade + rng.standard_normal((64, 64, 3), np.float32) * 1.5
        self._dark = np.asarray(np.clip(cv2.resize(rough, (max(size_hw), max(size_hw))), 0, 255), np.uint8)
        self._rim = round(RIM_FRAC * min(size_hw) * 1.2)
        self._depth = round(DEPTH_FRAC * min(size_hw))
        self._span = (round(0.16 * height), round(0.84 * height), round(0.2 * width), round(0.8 * width))

    def open(self, picture: Image, lid: int, width_frac: float) -> None:
        """Uncover ``width_frac`` (0..1) of the opening of ``lid`` in ``picture`` (BGR, or grey), which is changed in place."""
        rows, columns = self._where(lid, width_frac)
        part = picture[rows, columns]
        if part.size == 0:
            return
        dark = self._dark[: part.shape[0], : part.shape[1]]
        dark = dark if part.ndim == dark.ndim else dark[..., 1]
        part[:] = dark if (lid - 1) % _SIDES != 2 else dark[::-1]  # noqa: PLR2004 - the far side is lit from below
        lip = max(1, round(0.006 * min(self._size_hw)))
        inner = {0: part[:, -lip:], 1: part[:, :lip], 2: part[-lip:], 3: part[:lip]}[(lid - 1) % _SIDES]
        inner[:] = cv2.addWeighted(np.full_like(inner, 210), 0.6, inner, 0.4, 0)

    def mouth_xy(self, lid: int) -> tuple[float, float]:
        """The middle of the open mouth, in pixels."""
        rows, columns = self._where(lid, 1.0)
        return (columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2

    def _where(self, lid: int, width_frac: float) -> tuple[slice, slice]:
        height, width = self._size_hw
        top, bottom, left, right = self._span
        near, wide = self._rim, round(self._depth * width_frac)
        return {
            0: (slice(top, bottom), slice(near, near + wide)),
            1: (slice(top, bottom), slice(width - near - wide, width - near)),
            2: (slice(near, near + wide), slice(left, right)),
            3: (slice(height - near - wide, height - near), slice(left, right)),
        }[(lid - 1) % _SIDES]
