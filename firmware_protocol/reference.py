"""The controller in Python: the behaviour that SPEC.md demands, for ``sim://`` and as the twin of the C core.

One context, one HAL, polled: bytes go in by `receive`, time by `tick` (call it every 1-20 ms), bytes come out by
`take_output`. Integers only; times are unsigned 32-bit milliseconds that may wrap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from firmware_protocol.messages import Calibration, Caps, ResetCause


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
        """Called once the RESULT of REBOOT or ENTER_BOOTLOADER went out; must return, then `ReferenceController.reset` is called."""


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


SIM_CAPS = Caps(0x15F)
"""All but bootloader and position feedback... see Caps."""


class ReferenceController:
    """The controller. It starts as after ``cause`` and homes its lids shut by itself.

    ``on_motion`` is called within `tick` and must return at once. ``opens`` counts openings begun per action id, over all
    resets: any value above 1 is a double opening.
    """

    opens: Counter[int]

    def __init__(
        self,
        hal: Hal,
        *,
        now_ms: int = 0,
        lids: int = 4,
        cause: ResetCause = ResetCause.POWER_ON,
        caps: Caps = SIM_CAPS,
        on_motion: Callable[[LidMotion], None] | None = None,
    ) -> None:
        raise NotImplementedError

    def reset(self, cause: ResetCause, now_ms: int) -> None:
        """Restart in place: RAM is lost, action ids survive an external or watchdog reset. Pulses stop at once."""
        raise NotImplementedError

    def receive(self, data: bytes, now_ms: int) -> None:
        """Bytes from the line."""
        raise NotImplementedError

    def tick(self, now_ms: int) -> None:
        """Move lids, watch them, repeat events, send telemetry."""
        raise NotImplementedError

    def take_output(self) -> bytes:
        """Bytes for the line, each once (at most 4096 wait; older ones are dropped, as by a full UART)."""
        raise NotImplementedError
