"""What happens at the bin: who brings which item when, and how it leaves. Times and motions only, no pixels.

One visit at a time: a hand brings the item, lets go, the item comes to rest, the hand is gone. Then either a lid opens and the
item falls, or nothing happens for ``patience_s`` and the person takes it back. The next visit waits until the lids are shut.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from bin_daemon.sim.world import LidMotion
from firmware_protocol.hal import Motion

if TYPE_CHECKING:
    import numpy as np

LID_TRAVEL_S = 0.35
"""How long the picture shows a lid moving between shut and open."""
STUCK_LID_S = 10.0
"""After this long with a lid that never shut, people throw things in all the same."""

LATE_START_S = 0.1


class How(str, Enum):
    """How an item left the tray."""

    FELL = "fell"
    TAKEN = "taken"


@dataclass(frozen=True, slots=True)
class Habits:
    """How people use this bin, in seconds."""

    first_s: float = 1.5
    """The tray is empty this long at the start."""
    pause_s: tuple[float, float] = (0.9, 2.2)
    """Between one item's end (lids shut) and the next person."""
    reach_s: tuple[float, float] = (0.55, 0.95)
    """The hand's way in."""
    withdraw_s: tuple[float, float] = (0.4, 0.7)
    lower_s: float = 0.2
    """From above the plate to letting go; the same for grasping."""
    settle_s: float = 0.5
    """The item rocks this long after it was let go."""
    fall_s: float = 0.45
    patience_s: float = 6.0
    """An item at rest for which no lid opens is taken back after this long."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The scene at one moment. Shares run 0..1; ``out`` is how far along the hand's way out of the picture (1: outside)."""

    item: int | None = None
    item_out: float = 0.0
    lift: float = 0.0
    """0 on the plate, 1 at carrying height."""
    rock: float = 0.0
    """-1..1: share of the largest tilt to either side."""
    fallen: float = 0.0
    hand_out: float | None = None
    hand_fast: bool = False
    lid: int = 1
    gap: float = 0.0
    """0 shut, 1 wide open."""


@dataclass(frozen=True, slots=True)
class _Leg:
    """The hand on its way, from one share ``out`` to another."""

    start_s: float
    end_s: float
    out_from: float
    out_to: float

    def out(self, t_s: float) -> float:
        u = min(1.0, max(0.0, (t_s - self.start_s) / (self.end_s - self.start_s)))
        return self.out_from + (self.out_to - self.out_from) * u * u * (3 - 2 * u)


class Visit:
    """One item from the hand that brings it to its end; all times are on the scene's clock."""

    def __init__(self, index: int, start_t_s: float, rng: np.random.Generator, habits: Habits) -> None:
        self.index = index
        self._habits = habits
        reach, self._withdraw_s = float(rng.uniform(*habits.reach_s)), float(rng.uniform(*habits.withdraw_s))
        self._over_t_s = start_t_s + reach
        self.released_t_s = self._over_t_s + habits.lower_s
        hand_gone = self.released_t_s + 0.05 + self._withdraw_s
        self._legs = [_Leg(start_t_s, self._over_t_s, 1, 0), _Leg(self.released_t_s + 0.05, hand_gone, 0, 1)]
        self.rest_t_s = max(hand_gone, self.released_t_s + habits.settle_s)
        """Nothing moves any more: the item is at rest and the hand is gone."""
        self._grasp_t_s = math.inf
        self.left_t_s: float | None = None
        """When the item began to fall or was lifted off."""
        self.gone_t_s: float | None = None
        """When the item is wholly out of the picture."""
        self.how: How | None = None
        self._take_back(self.rest_t_s + habits.patience_s, reach)

    def fall(self, t_s: float) -> None:
        """A lid stands open at ``t_s``: the item falls if it lies on the plate by then. Ignored when it is held or gone."""
        if self.how is How.FELL or t_s >= self._grasp_t_s:
            return
        self.how, self.left_t_s = How.FELL, max(t_s, self.released_t_s)
        self.gone_t_s = self.left_t_s + self._habits.fall_s
        coming = self._legs[2]
        self._legs[2:] = []
        if t_s > coming.start_s:  # the hand that came to take it back turns round
            self._legs.append(_Leg(t_s, t_s + self._withdraw_s, coming.out(t_s), 1))

    def end_t_s(self) -> float:
        """When both the item and the hand are out of the picture, as things stand."""
        return max(self.gone_t_s or math.inf, self._legs[-1].end_s)

    def stage(self, t_s: float, lid: int, gap: float) -> Stage:
        """How the visit looks at ``t_s``."""
        leg = next((x for x in reversed(self._legs) if x.start_s <= t_s), self._legs[0])
        hand_out = leg.out(t_s) if self._legs[0].start_s <= t_s else 1.0
        on_the_way = leg.start_s < t_s < leg.end_s and 0.06 < hand_out < 1  # noqa: PLR2004 - slow near its goal
        gone = self.gone_t_s is not None and t_s >= self.gone_t_s
        held = t_s < self.released_t_s or (self.how is How.TAKEN and t_s >= self._grasp_t_s)
        since = t_s - self.released_t_s
        calm = math.exp(-max(0.0, since) / 0.11) if since < self._habits.settle_s else 0.0
        return Stage(
            item=None if gone else self.index,
            item_out=hand_out if held else 0.0,
            lift=self._lift(t_s) if held else 0.12 * calm * abs(math.cos(14 * since)),
            rock=1.0 if t_s < self.released_t_s else calm * math.cos(24 * since),
            fallen=self._fallen(t_s),
            hand_out=None if hand_out >= 1 else hand_out,
            hand_fast=on_the_way,
            lid=lid,
            gap=gap,
        )

    def _take_back(self, start_t_s: float, reach_s: float) -> None:
        over = start_t_s + reach_s
        self._grasp_t_s = over + self._habits.lower_s
        self._legs += [_Leg(start_t_s, over, 1, 0), _Leg(self._grasp_t_s, self._grasp_t_s + self._withdraw_s, 0, 1)]
        self.how, self.left_t_s, self.gone_t_s = How.TAKEN, self._grasp_t_s, self._legs[-1].end_s

    def _lift(self, t_s: float) -> float:
        if t_s < self.released_t_s:
            return min(1.0, 0.12 + (self.released_t_s - t_s) / self._habits.lower_s)
        return min(1.0, (t_s - self._grasp_t_s) / self._habits.lower_s)

    def _fallen(self, t_s: float) -> float:
        if self.how is not How.FELL or self.left_t_s is None:
            return 0.0
        return min(1.0, max(0.0, (t_s - self.left_t_s) / self._habits.fall_s))


class LidGap:
    """How wide the opening looks; it follows the controller's motions with `LID_TRAVEL_S`."""

    def __init__(self) -> None:
        self.lid = 1
        self.open_since_s: float | None = None
        """From when things fall; None while no lid stands open."""
        self.shut_since_s = -math.inf
        self._shut = True
        self._moved_t_s, self._from, self._target = -math.inf, 0.0, 0.0

    def moved(self, motion: LidMotion) -> None:
        """Take one motion of the controller."""
        self._from, self._moved_t_s, self.lid = self.width(motion.t_s), motion.t_s, motion.lid
        wide = motion.motion in {Motion.OPENING, Motion.OPEN, Motion.REVERSED}
        self._target = 1.0 if wide else 0.0
        self._shut = motion.motion is Motion.CLOSED
        self.shut_since_s = motion.t_s if self._shut else self.shut_since_s
        if motion.motion is Motion.OPEN:
            self.open_since_s = motion.t_s
        elif motion.motion in {Motion.CLOSING, Motion.CLOSED}:
            self.open_since_s = None

    def width(self, t_s: float) -> float:
        """0 shut to 1 wide open."""
        step = max(0.0, t_s - self._moved_t_s) / LID_TRAVEL_S
        way = self._target - self._from
        return self._target if abs(way) <= step else self._from + math.copysign(step, way)

    def keeps_people_away(self, t_s: float) -> bool:
        """True while a lid is moving or open; a lid that never came back does so for `STUCK_LID_S` only."""
        return not self._shut and t_s < self._moved_t_s + STUCK_LID_S


class Script:
    """Visits one after the other, ``count`` in all; then the tray stays empty. Time must not run backward."""

    def __init__(self, count: int, rng: np.random.Generator, habits: Habits, start_t_s: float) -> None:
        self._rng, self._habits, self._count = rng, habits, count
        self._next_t_s = start_t_s + habits.first_s
        self._next_index = 0
        self._gap = LidGap()
        self.visits: list[Visit] = []
        self.now_s = start_t_s
        """The latest time that was asked for."""

    def lid_moved(self, motion: LidMotion) -> None:
        """Take one motion of the controller, in the order in which they happened."""
        self._let_fall(motion.t_s)
        self._gap.moved(motion)

    def at(self, t_s: float) -> Stage:
        """Go on to ``t_s`` and tell how things stand."""
        self.now_s = t_s
        self._let_fall(t_s)
        if self._is_free(t_s) and self._next_index < self._count:
            self._begin(t_s)
        gap = self._gap.width(t_s)
        if not self.visits:
            return Stage(lid=self._gap.lid, gap=gap)
        return self.visits[-1].stage(t_s, self._gap.lid, gap)

    def is_over(self, t_s: float) -> bool:
        """True when the last item and the last hand are gone and no lid stands open."""
        return self._next_index >= self._count and self._is_free(t_s)

    def _let_fall(self, until_s: float) -> None:
        since = self._gap.open_since_s
        if since is None or not self.visits:
            return
        visit = self.visits[-1]
        if max(since, visit.released_t_s) <= until_s:
            visit.fall(since)

    def _is_free(self, t_s: float) -> bool:
        if self.visits and t_s < self.visits[-1].end_t_s():
            return False
        return not self._gap.keeps_people_away(t_s)

    def _begin(self, t_s: float) -> None:
        """Start the next visit once its pause is over; the pause counts from the moment at which the bin was free again."""
        if self.visits and self._next_t_s <= self.visits[-1].end_t_s():
            free_t_s = max(self.visits[-1].end_t_s(), self._gap.shut_since_s)
            self._next_t_s = free_t_s + float(self._rng.uniform(*self._habits.pause_s))
        if t_s >= self._next_t_s:
            start_t_s = max(self._next_t_s, t_s - LATE_START_S)  # a lid that hung: nobody began in the past
            self.visits.append(Visit(self._next_index, start_t_s, self._rng, self._habits))
            self._next_index += 1
