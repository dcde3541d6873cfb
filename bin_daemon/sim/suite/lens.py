"""What stands between the tray and the sensor: dirt, fog, and a camera that somebody knocked against."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Hashable

    from bin_daemon.domain import Box, Image
    from bin_daemon.sim.suite.light import Field

VEIL_GREY = 168
"""Grey of scattered light in a foggy or greasy lens."""
KNOCK_S = 0.25
"""A knocked camera comes to rest after this long."""


@dataclass(frozen=True, slots=True)
class Fog:
    """Breath or steam on the lens: grows for ``rise_s``, stays ``hold_s``, fades for ``rise_s``; a factor of the contrast."""

    start_s: float
    rise_s: float
    hold_s: float
    loss: float
    """Share of the contrast that is lost at the most."""
    blur_px: float = 24.0

    def share(self, t_s: float) -> float:
        """0..1, in steps that cannot be seen."""
        since = t_s - self.start_s
        rising, falling = since / self.rise_s, (2 * self.rise_s + self.hold_s - since) / self.rise_s
        return round(200 * min(1.0, max(0.0, min(rising, falling)))) / 200


@dataclass(frozen=True, slots=True)
class Knock:
    """From ``t_s`` on the camera looks elsewhere: moved by pixels of the full frame, turned by degrees about the middle."""

    t_s: float
    dx_px: float
    dy_px: float
    turn_deg: float = 0.0


class Lens:
    """Everything between tray and sensor. Without arguments: a clean lens that stays where it is."""

    def __init__(
        self, size: tuple[int, int], *, dirt: Field | None = None, fog: Fog | None = None, knock: Knock | None = None
    ) -> None:
        """``dirt`` is a small map over the picture, 0 clean .. 1 opaque."""
        self._size, self.dirt, self.fog, self.knock = size, dirt, fog, knock

    @cached_property
    def _dirt_at(self) -> dict[int, Field]:
        return {}

    def state(self, t_s: float) -> Hashable:
        """Equal states change a picture alike."""
        return self._knock_share(t_s), self.fog.share(t_s) if self.fog else 0.0

    def through(self, picture: Image, t_s: float, shrink: int) -> Image:
        """What gets through of ``picture`` (BGR, or grey and ``shrink`` times smaller)."""
        moved = self._knock_share(t_s)
        if moved > 0:
            size = (picture.shape[1], picture.shape[0])
            matrix = self._matrix(moved, size, shrink)
            picture = np.asarray(cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)
        if self.dirt is not None:
            picture = self._soiled(picture, shrink)
        share = self.fog.share(t_s) if self.fog else 0.0
        if self.fog and share > 0:
            soft = cv2.GaussianBlur(picture, (0, 0), max(0.3, self.fog.blur_px * share / shrink))
            lost = self.fog.loss * share
            picture = np.asarray(cv2.convertScaleAbs(soft, alpha=1 - lost, beta=lost * VEIL_GREY), np.uint8)
        return picture

    def box(self, box: Box, t_s: float) -> Box:
        """Where a box of the tray is seen at ``t_s``, within the frame."""
        if self._knock_share(t_s) <= 0:
            return box
        x, y, w, h = box
        corners = np.array(((x, y, 1), (x + w, y, 1), (x, y + h, 1), (x + w, y + h, 1)), np.float64)
        seen = corners @ self._matrix(1.0, self._size, 1).T
        left, top = (max(0, math.floor(v)) for v in seen.min(axis=0))
        right, bottom = (min(limit, math.ceil(v)) for limit, v in zip(self._size, seen.max(axis=0), strict=True))
        return left, top, max(0, right - left), max(0, bottom - top)

    def _knock_share(self, t_s: float) -> float:
        if self.knock is None:
            return 0.0
        return min(1.0, max(0.0, (t_s - self.knock.t_s) / KNOCK_S))

    def _matrix(self, share: float, size: tuple[int, int], shrink: int) -> cv2.typing.MatLike:
        if self.knock is None:
            raise ValueError("scene: nobody knocked against this camera")
        turn = cv2.getRotationMatrix2D(((size[0] - 1) / 2, (size[1] - 1) / 2), self.knock.turn_deg * share, 1.0)
        matrix = np.asarray(turn, np.float64)
        matrix[:, 2] += np.array((self.knock.dx_px, self.knock.dy_px)) * share / shrink
        return matrix

    def _soiled(self, picture: Image, shrink: int) -> Image:
        if shrink not in self._dirt_at:
            size = (picture.shape[1], picture.shape[0])
            self._dirt_at[shrink] = np.asarray(cv2.resize(np.asarray(self.dirt), size), np.float32)
        dirt = self._dirt_at[shrink]
        soft = cv2.GaussianBlur(picture, (0, 0), 30 / shrink)
        veiled = cv2.convertScaleAbs(soft, alpha=0.6, beta=0.4 * VEIL_GREY)
        return np.asarray(cv2.blendLinear(picture, veiled, 1 - dirt, dirt), np.uint8)


def smudges(rng: np.random.Generator, size: tuple[int, int], *, share: float, depth: float) -> Field:
    """Finger grease and drops: blotches over about ``share`` of the picture, ``depth`` (0..1) opaque; one cell is 16 pixels."""
    columns, rows = -(-size[0] // 16), -(-size[1] // 16)
    rough = np.asarray(cv2.GaussianBlur(rng.standard_normal((rows, columns), np.float32), (0, 0), 4.0), np.float32)
    limit = float(np.quantile(rough, 1 - share))
    edge = np.clip((rough - limit) / (0.6 * float(rough.std())), -1, 1)
    return np.asarray(depth * (0.5 + 0.5 * edge), np.float32)
