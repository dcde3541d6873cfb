"""What changes at the bin without an item, and is told once: the stop and the compartments' levels. Pure: told state and time."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from bin_daemon.config import FillSettings, LidSettings
from bin_daemon.domain import FillChange, LidPosition, LidsState, LidState, StopEdge

SAMPLES = 64
"""Of one level under doubt; the median of the last ones is what is told."""
ROUNDING = 1e-9
CHATTER_S = 1.0
"""A loose wire must not fill outbox and disk."""


class StopWatch:
    """Every press of the mushroom switch, its release and the end of the stop, each once and in this order.

    A switch whose contact chatters is one that is pressed: it counts as released when it has been so for `CHATTER_S`.
    """

    def __init__(self) -> None:
        self.pressed = False
        """The switch, without its chatter."""
        self._presses = 0
        self._stopped = False
        self._released_t_s: float | None = None

    def update(self, lids: LidsState, now_s: float) -> Iterator[StopEdge]:
        """What has happened since the last call. While nothing is connected, nothing is known to have happened."""
        if not lids.connected:
            return
        if lids.stop_pressed or lids.stop_presses > self._presses:  # a short press shows in the count alone
            self._presses, self._released_t_s, self._stopped = lids.stop_presses, None, True
            if not self.pressed:
                self.pressed = True
                yield StopEdge.PRESSED
        if self.pressed and not lids.stop_pressed:
            self._released_t_s = now_s if self._released_t_s is None else self._released_t_s
            if not lids.stopped or now_s - self._released_t_s >= CHATTER_S:
                self.pressed = False
                yield StopEdge.RELEASED
        if lids.stopped and not self._stopped:
            yield StopEdge.LATCHED
        if self._stopped and not lids.stopped:
            yield StopEdge.CLEARED
        self._stopped = lids.stopped


class FillWatch:
    """Levels without their jitter: one counts once it has stayed `FillSettings.step_frac` away from the last one that counted,
    on the same side, for `FillSettings.settle_s` with the lid shut (an open lid and what falls in are in the sensor's way).
    """

    def __init__(self, settings: FillSettings, lids: Sequence[LidSettings]) -> None:
        self._settings = settings
        self._categories = {x.lid: x.category for x in lids}
        self._levels: dict[int, _Level] = {}

    @property
    def full_frac(self) -> Mapping[int, float | None]:
        """By lid, 0..1: the last level that counted."""
        return {number: level.told for number, level in list(self._levels.items())}

    def update(self, lids: LidsState, now_s: float) -> Iterator[FillChange]:
        """Changes since the last call. The first reading of a lid is where it starts from, no change."""
        for lid in lids.lids.values():
            if not lids.connected or lid.position is not LidPosition.CLOSED:
                if level := self._levels.get(lid.lid):
                    level.forget_doubt()
                continue
            yield from self._look(lid, now_s)

    def _look(self, lid: LidState, now_s: float) -> Iterator[FillChange]:
        level = self._levels.get(lid.lid)
        if level is None:
            self._levels[lid.lid] = _Level(lid.full_frac)
            return
        before = level.told
        if level.settles(lid.full_frac, now_s, self._settings):
            yield FillChange(lid.lid, self._categories.get(lid.lid), level.told, before)


class _Level:
    """One compartment."""

    def __init__(self, told: float | None) -> None:
        self.told = told
        self._side = 0
        self._since_s = 0.0
        self._samples: deque[float | None] = deque(maxlen=SAMPLES)

    def forget_doubt(self) -> None:
        """Whatever seemed to change must show itself anew."""
        self._side = 0
        self._samples.clear()

    def settles(self, seen: float | None, now_s: float, settings: FillSettings) -> bool:
        """Take one reading; True when `told` is now another one."""
        side = self._side_of(seen, settings.step_frac)
        if side != self._side:
            self.forget_doubt()
            self._side, self._since_s = side, now_s
        if side == 0:
            return False
        self._samples.append(seen)
        if now_s - self._since_s < settings.settle_s:
            return False
        levels = [x for x in self._samples if x is not None]
        self.told = statistics.median(levels) if levels else None
        self.forget_doubt()
        return True

    def _side_of(self, seen: float | None, step_frac: float) -> int:
        """1 fuller, -1 emptier, 0 the same as told; 2 where a reading has come or gone."""
        if seen is None or self.told is None:
            return 0 if seen is self.told else 2
        if abs(seen - self.told) < step_frac - ROUNDING:
            return 0
        return 1 if seen > self.told else -1
