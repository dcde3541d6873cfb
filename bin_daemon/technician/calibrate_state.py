"""What a technician is told of a lid in calibration: one reading, what stands in the way, why it ended. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firmware_protocol import limits as lim
from firmware_protocol.messages import LidPhase, Limits, Stop, Telemetry, TelemetryMore

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the controller ended calibration: for machines, and for the person before the bin."""

    code: str
    text: str
    hint: str


ENDED_SILENTLY = Ending(
    "timed_out",
    "The controller has ended calibration and shuts the lid.",
    "It does so when nobody touches a key for long.",
)
ENDINGS = {
    x.code: x
    for x in (
        Ending(
            "stall",
            "The servo was stopped by something and drew too much current. The controller has let go and shuts the lid.",
            "If that was an end stop, the end lies a few steps back. If not, take away what is in the way.",
        ),
        Ending(
            "pinch",
            "Something is caught under the lid. The controller has let go and shuts the lid.",
            "Take it out; keep your hands clear.",
        ),
        Ending(
            "held",
            "The servo was stopped by something, or something is caught under the lid. The controller shuts the lid.",
            "Look. If that was an end stop, the end lies a few steps back.",
        ),
        Ending(
            "stop",
            "The stop switch is pressed: the servos have no power.",
            "Release the switch, then clear the stop. Nothing moves by that.",
        ),
        Ending(
            "restarted", "The controller has restarted; it shuts its lids.", "If it does so again, check its supply."
        ),
        Ending("lost", "The line to the controller is cut; it shuts its lids by itself.", "Check the cable."),
        Ending("left", "Calibration is over.", ""),
        Ending("silent", "The controller says nothing any more.", "Check its cable and supply."),
        ENDED_SILENTLY,
    )
}


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Why calibration cannot begin now. ``passes``: by itself, in a moment. ``clear``: after a stop is cleared."""

    text: str
    hint: str
    passes: bool = False
    clear: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """One lid at one moment. None = the board cannot measure it, or the servo has no signal."""

    phase: int
    pulse_us: int | None
    limits: int | None
    current_ma: int | None
    peak_ma: int | None
    """Highest since the last order."""
    pinched: bool
    vin_mv: int | None
    vservo_mv: int | None

    @property
    def has_switches(self) -> bool:
        """Whether this lid has limit switches."""
        return self.limits is not None

    @property
    def shut(self) -> bool | None:
        """Whether it stands on its closed switch."""
        return None if self.limits is None else bool(self.limits & Limits.CLOSED)

    @property
    def open(self) -> bool | None:
        """Whether it stands on its open switch."""
        return None if self.limits is None else bool(self.limits & Limits.OPEN)

    def stands(self, *, opening: bool) -> bool:
        """As the controller judges it: arrived when exactly that end's switch is closed."""
        return self.limits == (Limits.OPEN if opening else Limits.CLOSED)


@dataclass(frozen=True, slots=True)
class Travel:
    """One way between the ends, as measured from here (to 50 ms)."""

    arrived: bool
    """Exactly the switch of that end closed; without switches: the pulse was sent, and nothing stopped the servo."""
    lag_ms: int | None
    """How long after its pulse the lid arrived; None without switches, or when it never did."""
    lasting_ma: int | None
    """The highest current on the way that lasted, inrush left out; None where it is not measured."""
    reading: Reading
    """At the end; its peak is that of the whole way."""


def reading_of(message: Telemetry | TelemetryMore, whole: Telemetry, slot: int) -> Reading:
    """One slot of a report."""
    lid = message.slots[slot]
    pinched = message.pinch is not None and bool(message.pinch >> slot & 1)
    return Reading(lid.state, lid.pos_us, lid.limits, lid.current_ma, None, pinched, whole.vin_mv, whole.vservo_mv)


STILL = frozenset({LidPhase.CLOSED, LidPhase.HALTED, LidPhase.JOGGING})


def hindrance(whole: Telemetry | None, phases: Mapping[int, int], lid: int) -> Hindrance | None:
    """What the controller would refuse, or a person should know, before calibration of ``lid``; phases by lid from 1."""
    if whole is None:
        return Hindrance("The controller reports nothing.", "Check its cable and supply.", passes=True)
    return _stopped(whole) or _at_work(phases, lid) or _low_supply(whole)


def _stopped(whole: Telemetry) -> Hindrance | None:
    if whole.stop & Stop.MUSHROOM:
        return Hindrance("The stop switch is pressed.", "Release it, then clear the stop. Nothing moves by that.")
    if whole.stop & Stop.LATCH:
        return Hindrance("A stop is latched: no lid moves.", "Clear it. Nothing moves by that.", clear=True)
    return None


def _at_work(phases: Mapping[int, int], lid: int) -> Hindrance | None:
    if faulty := [n for n, phase in phases.items() if phase == LidPhase.FAULT]:
        which = " and ".join(map(str, faulty))
        hint = "Look what blocks it, then clear the fault. Nothing moves by that."
        if faulty == [lid]:
            hint = "Wrong end positions cause that, too: clear the fault, nothing moves by that; then calibrate."
        return Hindrance(f"Lid {which} is in fault after three tries.", hint, clear=True)
    if moving := [n for n, phase in phases.items() if phase not in STILL]:
        which = " and ".join(map(str, moving))
        return Hindrance(f"Waiting for lid {which} to be shut.", "All lids must be at rest.", passes=True)
    return None


def _low_supply(whole: Telemetry) -> Hindrance | None:
    low = [
        f"{name} {mv / 1000:.1f} V (at least {least / 1000:.1f} V)"
        for name, mv, least in (
            ("board supply", whole.vin_mv, lim.VIN_MIN_MV),
            ("servo supply", whole.vservo_mv, lim.VSERVO_MIN_MV),
        )
        if mv is not None and mv < least
    ]
    return Hindrance(f"Too low: {', '.join(low)}.", "Check battery and power supply.") if low else None
