"""The simulated board: what the reference controller calls its HAL, wired to the simulated mechanics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bin_daemon.sim.lamp import Lamp
from bin_daemon.sim.plant import LidPlant, PlantSettings
from firmware_protocol.messages import Calibration, Limits

if TYPE_CHECKING:
    from firmware_protocol.hal import Motion

JAM_MA = 900
"""Between a moving and a stalled servo."""
SERVO_MV = 6000
SLEW_PERIOD_MS = 20
"""A servo takes a new pulse every 20 ms."""
HEADROOM = 2.0
"""The servo can go this much faster than the controller's slew limit lets it."""


class Board:
    """Sensors and servos of all lids. Lids count from 0 here, as on the wire."""

    def __init__(self, settings: PlantSettings, travel_ms: float, vin_mv: int, *, blank: bool = False) -> None:
        self.settings = settings
        self.lids = [LidPlant(settings) for _ in range(settings.lids)]
        self.vin = vin_mv
        self.mushroom = False
        self.lamp = Lamp()
        self.restart_wanted = False
        span = abs(settings.open_us - settings.closed_us)
        speed = max(1, min(255, round(span * SLEW_PERIOD_MS / travel_ms)))
        stored = range(0 if blank else settings.lids)
        self._cal = {lid: Calibration(lid, settings.open_us, settings.closed_us, speed, JAM_MA) for lid in stored}

    def advance(self, dt_s: float) -> list[tuple[int, Motion]]:
        """Let time pass; returns (lid, motion) in order. The mushroom switch cuts the servos' power."""
        told = []
        self.lamp.advance(dt_s)
        for number, lid in enumerate(self.lids):
            if self.mushroom:
                lid.stalled = lid.moving = False
            else:
                told += [(number, motion) for motion in lid.advance(dt_s)]
        return told

    def set_pulse_us(self, lid: int, pulse_us: int | None) -> None:
        """The servo follows from the next `advance` on."""
        self.lids[lid].pulse_us = pulse_us

    def limits(self, lid: int) -> int | None:
        """Both switches."""
        plant = self.lids[lid]
        return (Limits.CLOSED if plant.closed_switch else 0) | (Limits.OPEN if plant.open_switch else 0)

    def current_ma(self, lid: int) -> int | None:
        """Servo current, none without power."""
        return 0 if self.mushroom else self.lids[lid].current_ma

    def fill_mm(self, lid: int) -> int | None:
        """From the sensor down to the heap."""
        return self.lids[lid].fill_mm

    def pinch(self) -> int | None:
        """Bit n: something is squeezed at lid n."""
        return sum(1 << number for number, lid in enumerate(self.lids[:8]) if lid.pinched)

    def vin_mv(self) -> int | None:
        """Supply of the board."""
        return self.vin

    def vservo_mv(self) -> int | None:
        """A regulator's output: as much as the supply has left above its own 1 V."""
        return max(0, min(SERVO_MV, self.vin - 1000))

    def temp_c(self) -> int | None:
        """Not measured."""
        return None

    def stop_pressed(self) -> bool:
        """The mushroom switch."""
        return self.mushroom

    def indicate(self, pattern: int, duration_ms: int) -> None:
        """Lamp and buzzer."""
        self.lamp.indicate(pattern, duration_ms)

    def load_cal(self, lid: int) -> Calibration | None:
        """From the simulated EEPROM."""
        return self._cal.get(lid)

    def save_cal(self, cal: Calibration) -> None:
        """Kept as long as the simulator lives."""
        self._cal[cal.lid] = cal

    def restart(self, bootloader: bool) -> None:  # noqa: ARG002, FBT001 - signature of the HAL
        """Noted; the controller's owner resets it after this tick."""
        self.restart_wanted = True
