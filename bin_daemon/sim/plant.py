"""The simulated bin's mechanics: lids on servos, end stops, switches, current, things in the way, compartments that fill.

Knows nothing of protocols: it is told pulse widths and time, and says what sensors would say. A lid follows its pulse at servo
speed without inertia, and stops at its ends and at whatever is in the way.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_protocol.hal import Motion

SWITCH_FRAC = 0.03
"""A limit switch closes this share of the travel before its end stop."""
SMOOTH_S = 0.04
"""Between two steps of its pulse, 20 ms apart, a servo's current does not fall to nothing."""
STOP_SLACK_US = 30
"""A servo told to go further than its end stop by more than this (gear play, its own dead band) strains against it."""


@dataclass(frozen=True, slots=True)
class PlantSettings:
    """Figures of one bin. Pulses in microseconds, as the servo sees them; fill readings in mm from the sensor down."""

    lids: int = 4
    closed_us: int = 1000
    """Where the lid meets its rim; more than open_us where the servo is mounted the other way round."""
    open_us: int = 2000
    travel_ms: float = 350.0
    """End to end at the servo's own speed: 0.35 s for 90 degrees is a common 20 kg cm servo under load."""
    idle_ma: int = 8
    moving_ma: int = 220
    stall_ma: int = 1500
    empty_mm: int = 450
    full_mm: int = 120
    item_mm: int = 6
    """How much higher the heap stands after each item."""


class LidPlant:
    """One lid. ``block_opening`` and ``block_closing`` are shares of the travel where something is in the way (1: open)."""

    def __init__(self, settings: PlantSettings) -> None:
        self.settings = settings
        self.frac = 0.0
        self.pulse_us: int | None = None
        """What the servo is told; None: no signal, the lid stays where it is."""
        self.block_opening: float | None = None
        self.block_closing: float | None = None
        self.stalled = False
        self.moving = False
        self._rest_s = SMOOTH_S
        self.motion = Motion.CLOSED
        self.fill_mm = settings.empty_mm

    @property
    def pos_us(self) -> int:
        """Where the horn is, as the pulse that would hold it there."""
        return round(self.settings.closed_us + self.frac * (self.settings.open_us - self.settings.closed_us))

    @property
    def closed_switch(self) -> bool:
        """The lid rests on the rim."""
        return self.frac <= SWITCH_FRAC

    @property
    def open_switch(self) -> bool:
        """The lid stands open."""
        return self.frac >= 1.0 - SWITCH_FRAC

    @property
    def pinched(self) -> bool:
        """Something is squeezed between lid and rim."""
        return self.block_closing is not None and self.frac <= self.block_closing and self.stalled

    @property
    def current_ma(self) -> int:
        """Servo current."""
        s = self.settings
        return s.stall_ma if self.stalled else s.moving_ma if self.moving else s.idle_ma

    def advance(self, dt_s: float) -> tuple[Motion, ...]:
        """Let ``dt_s`` pass; returns the motions that began or ended, in order."""
        goal = self._goal()
        step = 1000.0 * dt_s / self.settings.travel_ms
        wanted = self.frac if goal is None else self.frac + max(-step, min(step, goal - self.frac))
        reached = self._held_back(wanted)
        moved = reached - self.frac
        self.stalled = (goal is not None and wanted != reached) or self._strains(reached)
        self._rest_s = 0.0 if moved else self._rest_s + dt_s
        self.moving = self._rest_s < SMOOTH_S
        self.frac = reached
        return self._tell(moved)

    def _goal(self) -> float | None:
        """The pulse as a share of the travel, stopped by the mechanics at both ends."""
        if self.pulse_us is None:
            return None
        s = self.settings
        return max(0.0, min(1.0, (self.pulse_us - s.closed_us) / (s.open_us - s.closed_us)))

    def _strains(self, reached: float) -> bool:
        """Whether the lid rests on an end stop and the servo is told to go on through it."""
        if self.pulse_us is None or 0.0 < reached < 1.0:
            return False
        s = self.settings
        return (
            not min(s.closed_us, s.open_us) - STOP_SLACK_US
            <= self.pulse_us
            <= max(s.closed_us, s.open_us) + STOP_SLACK_US
        )

    def _held_back(self, wanted: float) -> float:
        """As far as the lid gets before it meets what is in its way."""
        opening, closing = self.block_opening, self.block_closing
        if opening is not None and wanted > opening >= self.frac:
            return opening
        if closing is not None and wanted < closing <= self.frac:
            return closing
        return wanted

    def _tell(self, moved: float) -> tuple[Motion, ...]:
        told: list[Motion] = []
        if moved > 0 and not self.closed_switch and self.motion is Motion.CLOSED:
            told.append(Motion.OPENING)
        elif (moved > 0 and self.motion is Motion.CLOSING) or (moved < 0 and self.motion is Motion.OPENING):
            told.append(Motion.REVERSED)
        elif moved < 0 and self.motion is Motion.OPEN and not self.open_switch:
            told.append(Motion.CLOSING)
        now = told[-1] if told else self.motion
        if moved > 0 and self.open_switch and now in {Motion.OPENING, Motion.REVERSED}:
            told.append(Motion.OPEN)
            self.fill_mm = max(self.settings.full_mm, self.fill_mm - self.settings.item_mm)
        elif moved < 0 and self.closed_switch and now is not Motion.CLOSED:
            told.append(Motion.CLOSED)
        if told:
            self.motion = told[-1]
        return tuple(told)
