"""Calibration on every body of the controller, at lids with inertia: a board never calibrated learns its lid by itself."""

from __future__ import annotations

from typing import cast

import pytest
import serial

from bin_daemon.technician.calibrate import LidCalibration
from bin_daemon.technician.calibrate_auto import calibrate_by_itself
from bin_daemon.technician.calibrate_start import start
from bin_daemon.technician.calibrate_steps import Steps
from bin_daemon.technician.link import Link
from firmware_protocol.messages import LidPhase
from tests.firmware_protocol import plant
from tests.firmware_protocol.bodies.stand import Stand
from tests.firmware_protocol.conftest import MakeBody

STEP_MS = 5.0


class StandPort:
    """What `Link` uses of a serial port, at a stand: reading lets time pass."""

    timeout = 0.02

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._out = self._in = b""

    def clock(self) -> float:
        """The stand's time, s."""
        return self._stand.now_ms / 1000

    @property
    def in_waiting(self) -> int:
        """Bytes that wait."""
        return len(self._in)

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, after at most ``timeout``."""
        end_ms = self._stand.now_ms + 1000 * self.timeout
        while not self._in and self._stand.now_ms < end_ms:
            out, self._out = self._out, b""
            self._in += self._stand.exchange(STEP_MS, out)
        data, self._in = self._in[:size], self._in[size:]
        return data

    def write(self, data: bytes) -> None:
        """With the next step."""
        self._out += data


@pytest.mark.needs("inputs")
@pytest.mark.long_on_avr
def test_a_board_never_calibrated_learns_its_lid(make_body: MakeBody, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lids that end at 1130 and 1800 us, not at the firmware's 1000 and 2000: found, stored, and a cycle of it is clean."""
    monkeypatch.setattr(plant, "CLOSED_US", 1130.0)
    monkeypatch.setattr(plant, "OPEN_US", 1800.0)
    monkeypatch.setattr(plant, "STOPS_US", (1130.0 - 15, 1800.0 + 15))
    stand = Stand(make_body(), at_us=1130.0)
    port = StandPort(stand)
    link = Link(cast("serial.Serial", port), "stand", clock=port.clock)
    cal = LidCalibration(link, link.hello(), 2, clock=port.clock)
    assert cal.wait_for_rest(lambda _: None) is None
    cal.begin()
    told: list[str] = []
    start(Steps(cal, told.append), lambda _: False)
    proposal = calibrate_by_itself(cal, told.append)
    found = proposal.calibration
    assert 1115 <= found.closed_us <= 1155
    assert 1775 <= found.open_us <= 1815
    assert 300 < found.jam_ma < 800  # it draws 0.2 A on its way, and 1.5 A at stall
    assert cal.store() == found
    assert cal.end()
    assert stand.plant.lids[1].on_closed
    cal.begin()
    start(Steps(cal, told.append), lambda _: False)
    for opening, pulse_us in ((True, found.open_us), (False, found.closed_us)):
        assert cal.travel(pulse_us, opening=opening).arrived
    assert cal.end()
    assert cal.reading.phase == LidPhase.CLOSED
