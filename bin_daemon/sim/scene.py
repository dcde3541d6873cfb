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
from bin_daemon.sim.cast import Cast
from bin_daemon.sim.hand import PEOPLE, arm_of
from bin_daemon.sim.script import Habits, How, Script, Stage, Visit
from bin_daemon.sim.tray import empty_tray
from bin_daemon.sim.well import Well

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bin_daemon.domain import Box, Image
    from bin_daemon.sim.photos import Photo
    from bin_daemon.sim.world import LidMotion

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

    `render` and `lid_moved` are called from one thread, with times that never run backward; what is true may be asked from any.
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
        self._script = Script(len(self.photos), times, habits or Habits(), start_t_s)
        self._tray = empty_tray(look, size_hw, material)
        self._well = Well(look, size_hw)
        self._people = tuple(int(i) for i in look.permutation(PEOPLE)[:3])
        self._drift = look.uniform(0, 2 * math.pi, 2)
        self._noise = _noise_tile(look, size_hw)
        self._casts: dict[int, Cast] = {}
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
        if stage.item is None and stage.hand_out is None:
            self._get_ready()
        else:
            self._lay(picture, self._cast(self._script.visits[-1].index), stage)
        return self._expose(picture, t_s)

    def truth(self, t_s: float) -> PlacedItem | None:
        """The item at rest on the tray at ``t_s`` (not after the last `render`), None when there is none."""
        for item in filter(None, map(self._placed, reversed(self._script.visits))):
            if item.placed_t_s <= t_s and (item.left_t_s is None or t_s < item.left_t_s):
                return item
        return None

    def brought(self, t_s: float) -> Photo | None:
        """The item that a hand last let go of before ``t_s``, at rest or not; None before the first."""
        visit = next((x for x in reversed(self._script.visits) if x.released_t_s <= t_s), None)
        return None if visit is None else self.photos[visit.index]

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
        cast = self._cast(visit.index)
        how = visit.how if left is not None else None
        return PlacedItem(visit.index, cast.photo.name, cast.photo.category, cast.box, placed_t_s, left, gone, how)

    def _cast(self, index: int) -> Cast:
        if index not in self._casts:
            rng = np.random.default_rng((self._seed, index))
            person = arm_of(self._people[int(rng.integers(len(self._people)))])
            self._casts[index] = Cast(self.photos[index], person, rng, self.size_hw)
        return self._casts[index]

    def _get_ready(self) -> None:
        """While the tray is empty: drop the last visit's pictures, make one of the next visit's, so that no frame is late."""
        done = len(self._script.visits)
        if done:
            self._cast(done - 1).forget()
        if done < len(self.photos):
            self._cast(done).prepare()

    def _lay(self, picture: Image, cast: Cast, stage: Stage) -> None:
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
