"""What the controller needs of its board, and what it tells of its lids."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from firmware_protocol.messages import Calibration


class Hal(Protocol):
    """The board. Lids count from 0. None = the board cannot measure it (never report 0 instead)."""

    def set_pulse_us(self, lid: int, pulse_us: int | None) -> None:
        """Servo pulse of one lid, every 20 ms; None = no signal (detached)."""

    def limits(self, lid: int) -> int | None:
        """`Limits` bits: bit 0 stands on the closed switch, bit 1 on the open switch."""

    def current_ma(self, lid: int) -> int | None:
        """Servo current."""

    def fill_mm(self, lid: int) -> int | None:
        """Distance from the fill sensor to the waste."""

    def pinch(self) -> int | None:
        """Pinch inputs of all lids, bit n = something is caught at lid n."""

    def vin_mv(self) -> int | None:
        """Supply of the board."""

    def vservo_mv(self) -> int | None:
        """Supply of the servos."""

    def temp_c(self) -> int | None:
        """Temperature of the board."""

    def stop_pressed(self) -> bool:
        """True while the mushroom switch is pressed (it has cut the servo power by itself)."""

    def indicate(self, pattern: int, duration_ms: int) -> None:
        """Lamp and buzzer, see messages.Pattern."""

    def load_cal(self, lid: int) -> Calibration | None:
        """Stored calibration, None when there is none or it is damaged."""

    def save_cal(self, cal: Calibration) -> None:
        """Store one lid's calibration for good."""

    def restart(self, bootloader: bool) -> None:  # noqa: FBT001  # the C twin has no keyword arguments
        """REBOOT's or ENTER_BOOTLOADER's RESULT is out. Must return; the board then calls `ReferenceController.reset`."""


class Motion(str, Enum):
    """What a lid has just begun or ended."""

    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"
    REVERSED = "reversed"


@dataclass(frozen=True, slots=True)
class LidMotion:
    """One lid motion as the controller sees it; ``lid`` counts from 0, action_id 0 = homing."""

    now_ms: int
    lid: int
    motion: Motion
    action_id: int
