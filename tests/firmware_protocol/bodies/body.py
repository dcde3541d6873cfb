"""A body: one controller with its board, driven in steps of time, whose sensors a test can set and whose servo pulses it sees."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

from firmware_protocol import messages as m
from firmware_protocol.messages import ResetCause
from firmware_protocol.reference import SIM_CAPS

FILLED_MM = 400


@dataclass
class LidInputs:
    """Sensors of one lid; None = the board cannot tell."""

    limits: int | None = int(m.Limits.CLOSED)
    current_ma: int | None = 0
    fill_mm: int | None = FILLED_MM


@dataclass
class Inputs:
    """All sensors of the board."""

    lids: list[LidInputs] = field(default_factory=lambda: [LidInputs() for _ in range(m.SLOTS)])
    pinch: int | None = 0
    vin_mv: int | None = 5000
    vservo_mv: int | None = 5000
    temp_c: int | None = None
    stop: bool = False


@dataclass(frozen=True)
class Pulse:
    """From ``t_ms`` on the servo of ``lid`` gets this pulse; None = no signal."""

    t_ms: float
    lid: int
    pulse_us: float | None


STUCK_US = math.inf
"""A servo pin that stays high."""


@dataclass
class Seen:
    """What a body did, oldest first."""

    pulses: list[Pulse] = field(default_factory=list)
    shown: list[tuple[int, int]] = field(default_factory=list)
    """INDICATE as the core gave it to its board: pattern, ms."""
    lamps: list[tuple[float, int]] = field(default_factory=list)
    """Levels of the lamp's and buzzer's pins: ms, one bit each."""
    restarts: list[bool] = field(default_factory=list)
    """REBOOT and ENTER_BOOTLOADER (True)."""
    resets: list[tuple[float, int]] = field(default_factory=list)
    """Resets that the controller made itself: ms, cause."""
    saved: list[m.Calibration] = field(default_factory=list)
    motions: list[tuple[int, int, int]] = field(default_factory=list)
    """The core's own word on its lids: lid, motion, action id."""


@dataclass(frozen=True)
class Fitting:
    """What a body without a board of its own is built as."""

    lids: int = m.SLOTS
    caps: m.Caps = SIM_CAPS
    now_ms: int = 0


class Body(Protocol):
    """One controller. Time passes only in `step` (but for a bench board, which cannot be stopped)."""

    name: str
    can: frozenset[str]
    """What tests may ask of it, see NEEDS."""
    answer_ms: int
    """Within this time a command has its answer; 0 = in the same step."""
    boot_ms: int
    """Within this time after a reset it listens."""
    used_actions: int
    """Action ids up to this one have been used on this board before; 0 for a board that a test has for itself."""
    seen: Seen

    def reset(self, cause: ResetCause) -> None:
        """Restart the controller. Memory that survives is kept but for POWER_ON."""

    def step(self, ms: float, rx: bytes = b"") -> bytes:
        """Bytes for the controller, then time; its bytes. A step of 0 ms hears and answers but does not tick."""

    def set_inputs(self, inputs: Inputs) -> None:
        """From the next step on the sensors say this."""

    def pulse_us(self, lid: int) -> float | None:
        """What the servo of this lid gets now."""

    def damage_calibration(self, cal: m.Calibration) -> None:
        """Put something into the memory that keeps calibrations, as a fault would."""

    def spoil_memory(self) -> None:
        """Damage the memory that survives a reset; call `reset` at once after it."""

    def close(self) -> None:
        """End it."""


NEEDS = {
    "inputs": "sets sensors: a bench board has its own",
    "resets": "chooses the reset cause: a bench board can only be told to REBOOT",
    "no_time": "a frame is answered in no time: an image and a bench board need a line",
    "blind": "takes a sensor away: the mega2560 has them all",
    "fitting": "another number of lids or other capabilities: the mega2560 has four of all",
    "clock": "starts near the wrap of the clock, 49 days on: an image starts at 0",
    "shown": "sees what INDICATE gives to the board: an image shows it by its pins",
    "pins": "sees the pins of the board",
    "damage": "damages the memory that keeps calibrations or action ids",
    "hang": "stops the controller's loop",
    "pulses": "sees servo pulses without a session: a bench board tells them in telemetry only",
    "virtual": "looks at single milliseconds or at hours: a bench board lives in real time",
}
"""Marks of what a test needs; it runs on all bodies that can."""
ALL_NEEDS = frozenset(NEEDS)
