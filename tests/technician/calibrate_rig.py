"""A controller, its lids and its line in virtual time: seconds of jogging pass in milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import serial

from bin_daemon.sim.board import Board
from bin_daemon.sim.plant import PlantSettings
from bin_daemon.technician.calibrate import LidCalibration
from bin_daemon.technician.link import Link
from firmware_protocol.messages import Caps, ResetCause
from firmware_protocol.reference import SIM_CAPS, ReferenceController

TICK_S = 0.01


class Blind(Board):
    """A board without switches, or without current sense."""

    switches = True
    senses = True

    def limits(self, lid: int) -> int | None:
        """Both switches, where there are some."""
        return super().limits(lid) if self.switches else None

    def current_ma(self, lid: int) -> int | None:
        """Servo current, where it is measured."""
        return super().current_ma(lid) if self.senses else None


class Rig:
    """The far end. ``now_s`` is the one clock; whoever reads from the port lets it run."""

    def __init__(
        self, plant: PlantSettings, *, blank: bool = True, caps: Caps = SIM_CAPS, uid: bytes = b"\0\0\0\0\x00\x07"
    ) -> None:
        self.now_s = 1000.0
        self.timeout = 0.02
        self.board = Blind(plant, 350.0, 12_000, blank=blank)
        self.board.switches = bool(caps & Caps.LIMIT_SWITCHES)
        self.board.senses = bool(caps & Caps.CURRENT_SENSE)
        self.controller = ReferenceController(
            self.board, now_ms=self._now_ms, lids=plant.lids, caps=caps, uid=uid, cause=ResetCause.POWER_ON
        )
        self.at: list[tuple[float, Callable[[], None]]] = []
        """What happens at the bin, and when."""
        self.broken = False
        self.deaf = False
        self._waiting = b""

    @property
    def _now_ms(self) -> int:
        return round(self.now_s * 1000)

    def clock(self) -> float:
        """Seconds."""
        return self.now_s

    def later(self, after_s: float, act: Callable[[], None]) -> None:
        """Something happens at the bin in so many seconds."""
        self.at.append((self.now_s + after_s, act))

    def live(self, for_s: float) -> None:
        """Let time pass without a host's doing."""
        end = self.now_s + for_s
        while self.now_s < end:
            self._tick()

    def _tick(self) -> None:
        self.now_s += TICK_S
        for due in [x for x in self.at if x[0] <= self.now_s]:
            self.at.remove(due)
            due[1]()
        self.board.advance(TICK_S)
        self.controller.tick(self._now_ms)
        sent = self.controller.take_output()
        self._waiting += b"" if self.deaf else sent

    # What `Link` uses of a serial port.

    @property
    def in_waiting(self) -> int:
        """Bytes that wait."""
        return len(self._waiting)

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, after at most ``timeout``."""
        if self.broken:
            raise serial.SerialException("device reports readiness to read but returned no data")
        end = self.now_s + self.timeout
        while not self._waiting and self.now_s < end:
            self._tick()
        data, self._waiting = self._waiting[:size], self._waiting[size:]
        return data

    def write(self, data: bytes) -> None:
        """To the controller."""
        if self.broken:
            raise serial.SerialException("write failed: [Errno 5] Input/output error")
        if not self.deaf:
            self.controller.receive(data, self._now_ms)
        self.now_s += len(data) * 10 / 115_200


def calibration(rig: Rig, lid: int = 1) -> LidCalibration:
    """Connected, not begun."""
    link = Link(cast("serial.Serial", rig), "virtual", clock=rig.clock)
    return LidCalibration(link, link.hello(), lid, clock=rig.clock)


@contextmanager
def begun(rig: Rig, lid: int = 1) -> Iterator[LidCalibration]:
    """In calibration, and out of it at the end."""
    run = calibration(rig, lid)
    assert run.wait_for_rest(lambda _: None) is None
    run.begin()
    yield run
    run.end()
