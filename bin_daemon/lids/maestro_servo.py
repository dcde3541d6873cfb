"""One lid behind a Maestro: its channel, its pulses, and the row of the state table that it is in. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from bin_daemon.domain import LidPosition
from bin_daemon.lids.maestro_bytes import OFF, QUARTERS, speed_units

if TYPE_CHECKING:
    from bin_daemon.config.settings import CalibrationSettings
    from bin_daemon.domain import LidCommand

UNKNOWN = -1
"""Target of a channel that somebody else set."""
UNITS_PER_S = 100
"""A speed of one unit is one quarter microsecond in 10 ms."""


class Phase(Enum):
    """Rows of the state table."""

    SHUT = "shut"
    WAITING = "waiting"
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    HALTED = "halted"
    FAULT = "fault"


POSITIONS = {
    Phase.SHUT: LidPosition.CLOSED,
    Phase.WAITING: LidPosition.OPENING,
    Phase.OPENING: LidPosition.OPENING,
    Phase.OPEN: LidPosition.OPEN,
    Phase.CLOSING: LidPosition.CLOSING,
    Phase.HALTED: LidPosition.UNKNOWN,
    Phase.FAULT: LidPosition.FAULT,
}
AT_REST = frozenset({Phase.SHUT, Phase.FAULT})
STANDING = AT_REST | {Phase.WAITING, Phase.OPEN}
"""Where the pulse has arrived."""


@dataclass(slots=True)
class Servo:
    """One lid, its channel and its pulses in quarter microseconds."""

    lid: int
    channel: int
    open_q: int
    closed_q: int
    speed: int
    phase: Phase = Phase.SHUT
    since_s: float = 0.0
    seen: int = 0
    """The pulse that the Maestro said it sends, at the last look."""
    target: int = UNKNOWN
    """Last target sent."""
    attaching: bool = False
    """Pulses have just come back: the Maestro jumps to the first target after `OFF` (5.e), so that is where the lid stands."""
    last_q: int = 0
    """The pulse when pulses were taken away."""
    arrived_s: float | None = None
    ended_s: float | None = None
    command: LidCommand | None = None
    stay: bool = False
    """Cleared from a stop or fault: moves again only by a close."""
    broken: bool = False
    """Its pulse did not get where it should: a fault as soon as it is shut."""

    @property
    def travel_s(self) -> float:
        """Of the pulse, end to end."""
        return abs(self.open_q - self.closed_q) / (self.speed * UNITS_PER_S)

    @property
    def goal(self) -> int:
        """Where this phase wants the pulse."""
        return self.open_q if self.phase in {Phase.OPENING, Phase.OPEN} else self.closed_q

    def fits(self, seen: int) -> bool:
        """Whether this pulse can come of what we sent."""
        if self.target == OFF:
            return seen == OFF
        if self.attaching:
            return seen in {OFF, self.target}
        if self.arrived_s is not None or (self.target != UNKNOWN and self.phase in STANDING):
            return seen == self.target
        return min(self.open_q, self.closed_q) <= seen <= max(self.open_q, self.closed_q)

    def enter(self, phase: Phase, now_s: float) -> None:
        """Next row of the table."""
        self.phase, self.since_s, self.arrived_s = phase, now_s, None


@dataclass(frozen=True, slots=True)
class Order:
    """One Set Target that is due, and the speed at which; both are absolute."""

    lid: int
    channel: int
    speed: int
    target: int


def servo(lid: int, channel: int, calibration: CalibrationSettings) -> Servo:
    """A lid's row, from its configuration."""
    closed_q = calibration.closed_us * QUARTERS
    open_q, speed = calibration.open_us * QUARTERS, speed_units(calibration.speed_us_per_20ms)
    return Servo(lid, channel, open_q, closed_q, speed, last_q=closed_q)
