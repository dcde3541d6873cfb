"""The simulated bin's inside as its camera sees it: pictures out, lid motions in; no I/O and no clock of its own.

Everything is drawn from one seed, and what is true is known: `Scene.truth` and `Scene.history`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from bin_daemon.domain import Category
from bin_daemon.sim.hand import PEOPLE, Arm, arm_of
from bin_daemon.sim.script import Habits, How, Script, Stage, Visit
from bin_daemon.sim.sprite import Sprite, smear, sprite
from bin_daemon.sim.tray import empty_tray
from bin_daemon.sim.well import Well

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bin_daemon.domain import Box, Image
    from bin_daemon.sim.photos import Photo
    from bin_daemon.sim.world import LidMotion

ITEM_FRAC = (0.32, 0.46)
"""Long side of an item as a share of the picture's short side; slender items are half as long again."""
ENLARGE = 3.5
"""No photograph is enlarged more than this: its pixels would show."""
TILT_DEG = 9.0
"""How far a dropped item rocks to either side."""
NOISE_GREY = 2.2
"""Spread of the sensor's noise, grey levels of one pixel."""
_SPARE = 48


@dataclass(frozen=True, slots=True)
class PlacedItem:
    """One item that lay on the tray: what is true about it. Times are on the scene's clock."""

    index: int
    name: str
    category: Category
    box: Box
    placed_t_s: float
    """At rest, and the hand gone; for an item that fell sooner, when it was let go."""
    left_t_s: float | None = None
    """When it began to fall or was lifted off; None while it lies there."""
    gone_t_s: float | None = None
    """When it was wholly out of the picture; None while it can be seen."""
    how: How | None = None


class Scene:
    """``count`` items thrown in one after the other, seen by a camera of ``size_hw`` pixels.

    All calls come from one thread, and times never run backward.
    """

    def __init__(
        self,
        photos: Sequence[Photo],
        seed: int = 0,
        *,
        count: int = 12,
        size_hw: tuple[int, int] = (720, 1280),
        material: str | None = None,
        habits: Habits | None = None,
        start_t_s: float = 0.0,
    ) -> None:
        # Separate streams: another picture size or number of items does not change who comes when.
        look, deal_, times, self._noise_rng = np.random.default_rng(seed).spawn(4)
        self.size_hw = size_hw
        self.photos = deal(photos, count, deal_)
        self._script = Script(count, times, habits or Habits(), start_t_s)
        self._tray = empty_tray(look, size_hw, material)
        self._well = Well(look, size_hw)
        self._people = tuple(arm_of(int(i)) for i in look.permutation(PEOPLE)[:3])
        self._drift = look.uniform(0, 2 * math.pi, 2)
        self._noise = _noise_tile(look, size_hw)
        self._casts: dict[int, _Cast] = {}
        self._seed = int(look.integers(2**31))

    def lid_moved(self, motion: LidMotion) -> None:
        """Take one motion of the simulated controller; an open lid lets the item fall."""
        self._script.lid_moved(motion)

    def render(self, t_s: float) -> Image:
        """The picture at ``t_s``, uint8 H x W x 3 BGR, a fresh array."""
        stage = self._script.at(t_s)
        picture = self._tray.copy()
        if stage.gap > 0:
            self._well.open(picture, stage.lid, stage.gap)
        if self._script.visits:
            self._lay(picture, self._cast(self._script.visits[-1]), stage)
        return self._expose(picture, t_s)

    def truth(self, t_s: float) -> PlacedItem | None:
        """The item at rest on the tray at ``t_s`` (not after the last `render`), None when there is none."""
        for item in reversed(self.history):
            if item.placed_t_s <= t_s and (item.left_t_s is None or t_s < item.left_t_s):
                return item
        return None

    def brought(self, t_s: float) -> Photo | None:
        """The item that a hand last let go of before ``t_s``, at rest or not; None before the first."""
        visit = next((x for x in reversed(self._script.visits) if x.released_t_s <= t_s), None)
        return None if visit is None else self._cast(visit).photo

    @property
    def history(self) -> tuple[PlacedItem, ...]:
        """Every item placed so far, oldest first, as known at the last `render`."""
        placed = (self._placed(visit) for visit in self._script.visits)
        return tuple(item for item in placed if item is not None)

    def is_over(self) -> bool:
        """True when the last item is gone and no lid stands open; from then on the tray stays empty."""
        return self._script.is_over(self._script.now_s)

    def _placed(self, visit: Visit) -> PlacedItem | None:
        now = self._script.now_s
        left, gone = ((t if t is not None and t <= now else None) for t in (visit.left_t_s, visit.gone_t_s))
        placed_t_s = min(visit.rest_t_s, max(visit.released_t_s, visit.left_t_s or visit.rest_t_s))
        if now < placed_t_s:
            return None
        cast = self._cast(visit)
        how = visit.how if left is not None else None
        return PlacedItem(visit.index, cast.photo.name, cast.photo.category, cast.box, placed_t_s, left, gone, how)

    def _cast(self, visit: Visit) -> _Cast:
        if visit.index not in self._casts:
            rng = np.random.default_rng((self._seed, visit.index))
            person = self._people[int(rng.integers(len(self._people)))]
            self._casts[visit.index] = _Cast(self.photos[visit.index], person, rng, self.size_hw)
            if visit.index:
                self._casts[visit.index - 1].forget_pictures()
        return self._casts[visit.index]

    def _lay(self, picture: Image, cast: _Cast, stage: Stage) -> None:
        if stage.item is not None:
            item, centre = cast.item(stage, self._well.mouth_xy(stage.lid))
            item.lay(picture, centre)
        if stage.hand_out is not None:
            cast.arm.lay(picture, cast.grip_xy(stage.hand_out), fast=stage.hand_fast)

    def _expose(self, picture: Image, t_s: float) -> Image:
        """Slow drift of the exposure and the sensor's noise, in one pass: the tile holds noise + 128."""
        height, width = self.size_hw
        y, x = (int(v) for v in self._noise_rng.integers(0, _SPARE, 2))
        slow, slower = (
            math.sin(t_s * 2 * math.pi / 31 + self._drift[0]),
            math.sin(t_s * 2 * math.pi / 97 + self._drift[1]),
        )
        gain = 1 + 0.015 * slow + 0.035 * slower
        noisy = cv2.addWeighted(picture, gain, self._noise[y : y + height, x : x + width], 1.0, -128.0, dst=picture)
        return np.asarray(noisy, np.uint8)


class _Cast:
    """One item and the person who brings it, as they look in this scene."""

    def __init__(self, photo: Photo, person: Image, rng: np.random.Generator, size_hw: tuple[int, int]) -> None:
        height, width = size_hw
        short = min(size_hw)
        self.photo = photo
        item_h, item_w = photo.rgba.shape[:2]
        slender = 1 + 0.5 * (1 - min(item_h, item_w) / max(item_h, item_w))
        self._scale = min(ENLARGE * short / 720, float(rng.uniform(*ITEM_FRAC)) * slender * short / max(item_h, item_w))
        self._angle_deg = float(rng.uniform(0, 360))
        self._tilt_deg = float(rng.choice((-1, 1))) * float(rng.uniform(0.5, 1)) * TILT_DEG
        self._place = (float(rng.uniform(0.38, 0.62)) * width, float(rng.uniform(0.40, 0.60)) * height)
        self._shadow_px = 0.016 * short
        self._gain = float(rng.uniform(0.86, 0.98))
        reach_deg = float(rng.uniform(-32, 32))
        self.arm = Arm(person, 0.95 * short / 720, reach_deg)
        self._rest = self._turned(self._angle_deg)
        self._carried = smear(
            self._turned(self._angle_deg + self._tilt_deg, lift=1.0), self.arm.reach_xy, max(3, round(0.05 * short))
        )
        half = max(self._rest.solid_xywh[2:]) / 2
        self._grip_back = 0.45 * min(self._rest.solid_xywh[2:])
        self._way_px = (height - self._place[1] + half + 0.25 * short) / math.cos(math.radians(reach_deg))
        x, y, w, h = self._rest.box_at(self._place)
        left, top = max(0, x), max(0, y)
        self.box: Box = (left, top, min(width, x + w) - left, min(height, y + h) - top)

    def forget_pictures(self) -> None:
        """The visit is over: only the truth is still asked for."""
        blank = np.zeros((1, 1, 3), np.uint8)
        self._rest = self._carried = Sprite(blank, blank, (0, 0, 0, 0))

    def grip_xy(self, out: float) -> tuple[float, float]:
        """Where the fingers are, ``out`` of the way back."""
        back = self._grip_back + out * self._way_px
        return self._place[0] - self.arm.reach_xy[0] * back, self._place[1] - self.arm.reach_xy[1] * back

    def item(self, stage: Stage, mouth_xy: tuple[float, float]) -> tuple[Sprite, tuple[float, float]]:
        """The item's picture and where its middle is."""
        if stage.fallen > 0:
            return self._falling(stage.fallen, mouth_xy)
        back = stage.item_out * self._way_px
        centre = (self._place[0] - self.arm.reach_xy[0] * back, self._place[1] - self.arm.reach_xy[1] * back)
        if stage.item_out > 0.02:  # noqa: PLR2004 - on its way
            return self._carried, centre
        if abs(stage.rock) + stage.lift < 0.02:  # noqa: PLR2004 - less than a pixel of motion
            return self._rest, centre
        return self._turned(self._angle_deg + stage.rock * self._tilt_deg, lift=stage.lift), centre

    def _falling(self, fallen: float, mouth_xy: tuple[float, float]) -> tuple[Sprite, tuple[float, float]]:
        """Sliding ever faster to the opening, then down into the dark."""
        slid, sunk = min(1.0, (fallen / 0.8) ** 2), max(0.0, (fallen - 0.55) / 0.45)
        centre = tuple(a + (b - a) * slid for a, b in zip(self._place, mouth_xy, strict=True))
        turned = self._turned(self._angle_deg + 2 * self._tilt_deg * slid, shrink=1 - 0.6 * sunk, gain=1 - 0.9 * sunk)
        return turned, (centre[0], centre[1])

    def _turned(self, angle_deg: float, *, lift: float = 0.0, shrink: float = 1.0, gain: float = 1.0) -> Sprite:
        scale = self._scale * shrink * (1 + 0.06 * lift)
        return sprite(
            self.photo.rgba,
            scale=scale,
            angle_deg=angle_deg,
            gain=self._gain * gain,
            shadow_px=self._shadow_px,
            lift=lift,
        )


def deal(photos: Sequence[Photo], count: int, rng: np.random.Generator) -> tuple[Photo, ...]:
    """``count`` items in random order, none twice before all were shown once.

    The categories take turns, so whoever watches four items has seen all that there are.
    """
    decks: dict[Category, list[Photo]] = {}
    for category in Category:
        own = [p for p in photos if p.category is category]
        if own:
            decks[category] = [own[i] for i in rng.permutation(len(own))]
    dealt: list[Photo] = []
    left = {c: list(d) for c, d in decks.items()}
    while len(dealt) < count and decks:
        if not any(left.values()):
            left = {c: list(d) for c, d in decks.items()}
        turn = [c for c in left if left[c]]
        dealt += [left[turn[i]].pop() for i in rng.permutation(len(turn))]
    return tuple(dealt[:count])


def _noise_tile(rng: np.random.Generator, size_hw: tuple[int, int]) -> Image:
    """Fine noise with a little coarse blotch, as of a sensor behind a JPEG encoder; larger than the picture, centred on 128."""
    shape = (size_hw[0] + _SPARE, size_hw[1] + _SPARE, 3)
    fine = np.asarray(cv2.GaussianBlur(rng.standard_normal(shape, np.float32), (0, 0), 0.5), np.float32)
    coarse = cv2.resize(rng.standard_normal((shape[0] // 4, shape[1] // 4, 3), np.float32), (shape[1], shape[0]))
    grain = fine / float(fine.std()) * NOISE_GREY + np.asarray(coarse, np.float32) * 0.5
    return np.asarray(np.clip(grain + 128.5, 0, 255), np.uint8)
