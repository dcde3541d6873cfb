"""One visit's looks: the item, the person's arm, and where both are at each moment."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

from bin_daemon.sim.hand import Arm
from bin_daemon.sim.sprite import Sprite, smear, sprite

if TYPE_CHECKING:
    import numpy as np

    from bin_daemon.domain import Box, Image
    from bin_daemon.sim.photos import Photo
    from bin_daemon.sim.script import Stage

ITEM_FRAC = (0.32, 0.46)
"""Long side of an item as a share of the picture's short side; slender items are half as long again."""
ENLARGE = 3.5
"""No photograph is enlarged more than this in a picture 720 high: its pixels would show."""
TILT_DEG = 9.0
"""How far a dropped item rocks to either side."""
COVERED = 80
"""Below this much of the ground left (of 255), the item is there, not its shadow."""

_PICTURES = ("_rest", "_carried", "arm", "_arm_blur")


class Cast:
    """One item and the person who brings it. Its pictures take some 20 to 100 ms each to make: `prepare` makes one at a time."""

    def __init__(self, photo: Photo, person: Image, rng: np.random.Generator, size_hw: tuple[int, int]) -> None:
        height, width = size_hw
        self.photo = photo
        self._person, self._size_hw, self._short = person, size_hw, min(size_hw)
        item_h, item_w = photo.rgba.shape[:2]
        slender = 1 + 0.5 * (1 - min(item_h, item_w) / max(item_h, item_w))
        wanted = float(rng.uniform(*ITEM_FRAC)) * slender * self._short / max(item_h, item_w)
        self._scale = min(ENLARGE * self._short / 720, wanted)
        self._angle_deg = float(rng.uniform(0, 360))
        self._tilt_deg = float(rng.choice((-1, 1))) * float(rng.uniform(0.5, 1)) * TILT_DEG
        self._place = (float(rng.uniform(0.38, 0.62)) * width, float(rng.uniform(0.40, 0.60)) * height)
        self._gain = float(rng.uniform(0.86, 0.98))
        self._reach_deg = float(rng.uniform(-32, 32))

    def prepare(self) -> None:
        """Make one more of the pictures that `item` and `arm` will want; nothing when all are there."""
        missing = next((name for name in _PICTURES if name not in self.__dict__), None)
        if missing is not None:
            getattr(self, missing)

    def forget(self) -> None:
        """Drop the pictures; whoever asks for one gets it made again. The truth (`box`) stays."""
        self.box  # noqa: B018 - made from a picture, kept without it
        for name in _PICTURES:
            self.__dict__.pop(name, None)

    @cached_property
    def arm(self) -> Arm:
        """The person's arm."""
        return Arm(self._person, 0.95 * self._short / 720, self._reach_deg)

    @cached_property
    def _arm_blur(self) -> Sprite:
        return self.arm.moving

    @cached_property
    def box(self) -> Box:
        """Where the item lies, full-frame pixels."""
        height, width = self._size_hw
        x, y, w, h = self._rest.box_at(self._place)
        left, top = max(0, x), max(0, y)
        return left, top, min(width, x + w) - left, min(height, y + h) - top

    @cached_property
    def _rest(self) -> Sprite:
        return self._turned(self._angle_deg)

    @cached_property
    def _carried(self) -> Sprite:
        held = self._turned(self._angle_deg + self._tilt_deg, lift=1.0)
        return smear(held, self._reach_xy, max(3, round(0.05 * self._short)))

    @cached_property
    def _reach_xy(self) -> tuple[float, float]:
        angle = math.radians(self._reach_deg)
        return -math.sin(angle), -math.cos(angle)

    @cached_property
    def _way_px(self) -> float:
        """From the place of rest, back along the arm, until item and hand are out of the picture."""
        long_px = max(self.photo.rgba.shape[:2]) * self._scale
        below_px = self._size_hw[0] - self._place[1] + long_px / 2 + 0.25 * self._short
        return float(below_px / math.cos(math.radians(self._reach_deg)))

    @cached_property
    def _grip_px(self) -> float:
        """From the item's middle back along the arm to shortly before the item's edge: there the fingers hold it."""
        keep = self._rest.keep[..., 0]
        middle_x, middle_y = keep.shape[1] / 2, keep.shape[0] / 2
        px = 0
        while keep[int(middle_y - self._reach_xy[1] * px), int(middle_x - self._reach_xy[0] * px)] < COVERED:
            px += 1
        return 0.75 * px

    def grip_xy(self, out: float) -> tuple[float, float]:
        """Where the fingers are, ``out`` of the way back."""
        return self._back_xy(out * self._way_px + self._grip_px)

    def item(self, stage: Stage, mouth_xy: tuple[float, float]) -> tuple[Sprite, tuple[float, float]]:
        """The item's picture and where its middle is; ``mouth_xy`` is where it falls to."""
        if stage.fallen > 0:
            return self._falling(stage.fallen, mouth_xy)
        centre = self._back_xy(stage.item_out * self._way_px)
        if stage.item_out > 0.02:  # noqa: PLR2004 - on its way
            return self._carried, centre
        if abs(stage.rock) + stage.lift < 0.02:  # noqa: PLR2004 - less than a pixel of motion
            return self._rest, centre
        return self._turned(self._angle_deg + stage.rock * self._tilt_deg, lift=stage.lift), centre

    def _back_xy(self, px: float) -> tuple[float, float]:
        return self._place[0] - self._reach_xy[0] * px, self._place[1] - self._reach_xy[1] * px

    def _falling(self, fallen: float, mouth_xy: tuple[float, float]) -> tuple[Sprite, tuple[float, float]]:
        """Sliding ever faster to the opening, then down into the dark."""
        slid, sunk = min(1.0, (fallen / 0.8) ** 2), max(0.0, (fallen - 0.55) / 0.45)
        x, y = (a + (b - a) * slid for a, b in zip(self._place, mouth_xy, strict=True))
        turned = self._turned(self._angle_deg + 2 * self._tilt_deg * slid, shrink=1 - 0.6 * sunk, gain=1 - 0.9 * sunk)
        return turned, (x, y)

    def _turned(self, angle_deg: float, *, lift: float = 0.0, shrink: float = 1.0, gain: float = 1.0) -> Sprite:
        return sprite(
            self.photo.rgba,
            scale=self._scale * shrink * (1 + 0.06 * lift),
            angle_deg=angle_deg,
            gain=self._gain * gain,
            shadow_px=0.016 * self._short,
            lift=lift,
        )
