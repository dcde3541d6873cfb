"""The Maestro's driver with its worker and a real clock, over the simulator's URL and over a pty. Time-out and lids are quick."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bin_daemon.config.settings import CalibrationSettings, ControllerSettings, LidSettings, MaestroSettings
from bin_daemon.domain import Category, LidCommand, LidPosition, LidReport, Outcome
from bin_daemon.errors import ConfigError, DeviceError
from bin_daemon.lids import MaestroLids, SerialLids, make_lids
from bin_daemon.service.worker import Worker
from bin_daemon.sim.maestro import MaestroOptions, SimulatedMaestro, maestro
from bin_daemon.sim.maestro_board import PROTOCOL
from bin_daemon.sim.serve import PtyEnd
from bin_daemon.sim.world import world

LIDS = tuple(LidSettings(lid=n, category=c) for n, c in enumerate(Category, 1))
QUICK = CalibrationSettings(open_us=2000, closed_us=1000, speed_us_per_20ms=200)
CALIBRATION = dict.fromkeys(range(1, 5), QUICK)
TIMEOUT_MS = 1000
"""A worker on a busy machine may be late by half a second."""
names = (f"maestro{n}" for n in itertools.count())


def until(condition: Callable[[], Any], timeout_s: float = 6.0) -> Any:
    """Wait for a condition, bounded; its value."""
    end = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.005)
    return value


def settings(port: str, **maestro_settings: Any) -> ControllerSettings:
    """Of a quick Maestro."""
    return ControllerSettings(
        kind="maestro", port=port, maestro=MaestroSettings(timeout_s=TIMEOUT_MS / 1000, **maestro_settings)
    )


class Bench:
    """One Maestro and our link to it, running."""

    def __init__(self, stack: ExitStack, port: str, end: SimulatedMaestro | PtyEnd[SimulatedMaestro]) -> None:
        self.end = end
        self.device = end.device if isinstance(end, PtyEnd) else end
        self.reports: list[LidReport] = []
        stop = self.device.options.stop_channel
        self.lids = MaestroLids(settings(port, stop_channel=None if stop < 0 else stop), LIDS, CALIBRATION)
        self.worker = Worker("lids", self.lids.session, jitter=lambda _: 0.05)
        self.worker.start()
        stack.callback(self.halt)

    def halt(self) -> None:
        """The worker ends in good order."""
        self.worker.stop()
        self.lids.close_all(0)
        assert self.worker.join(2.0)

    def ready(self) -> Bench:
        """Wait for the proof."""
        until(lambda: self.lids.state.all_closed)
        return self

    def open(self, lid: int, action_id: int, hold_ms: int = 1000) -> None:
        """Ask for one opening."""
        self.lids.open(LidCommand(lid, None, hold_ms, 1500, action_id))

    def report(self, action_id: int) -> LidReport:
        """The report of that action."""

        def look() -> LidReport | None:
            self.reports += self.lids.poll()
            return next((r for r in self.reports if r.action_id == action_id), None)

        found = until(look)
        assert isinstance(found, LidReport)
        return found

    def position(self, lid: int) -> LidPosition:
        """As the state says."""
        return self.lids.state.lids[lid].position


Start = Callable[..., Bench]


BY_URL = pytest.mark.parametrize("start", ["sim"], indirect=True)


@pytest.fixture
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Starts a bench with the given options of the simulated Maestro; behind a pty where the test does not say otherwise."""
    with ExitStack() as stack:

        def begin(**options: Any) -> Bench:
            name = next(names)
            chosen = MaestroOptions(**{"travel_ms": 100.0, "timeout_ms": TIMEOUT_MS, **options})
            if getattr(request, "param", "pty") == "pty":
                end = stack.enter_context(PtyEnd(SimulatedMaestro(world(name), chosen), tmp_path / name))
                return Bench(stack, end.path, end)
            device = maestro(name, chosen)
            stack.callback(device.shut_down)
            query = "&".join(f"{key}={getattr(chosen, key)}" for key in MaestroOptions.__slots__)
            return Bench(stack, f"simmaestro://{name}?{query}", device)

        yield begin


@BY_URL
def test_an_opening_and_what_is_claimed_of_it(start: Start) -> None:
    """One lid opens and shuts; report, state and info say that nothing was confirmed."""
    bench = start().ready()
    hello = bench.lids.hello
    assert hello is not None
    assert (hello.title, hello.lids, hello.last_action_id) == ("Pololu Maestro", 4, None)
    assert hello.capabilities == bench.lids.state.capabilities == {"unconfirmed"}
    before = time.monotonic()
    bench.open(3, 41)
    assert time.monotonic() - before < 0.5
    until(lambda: bench.position(3) is LidPosition.OPEN)
    assert bench.device.away()
    detail = bench.lids.details[3]
    assert (detail.phase, detail.pulse_us, detail.open_us, detail.jam_ma) == ("open", 2000, 2000, None)
    report = bench.report(41)
    assert (report.outcome, report.code, report.open_ms) == (Outcome.UNCONFIRMED, "SENT", None)
    assert report.wire_ms is not None
    assert bench.device.opens == {3: 1}
    assert bench.device.all_closed
    assert bench.lids.state.all_closed
    assert bench.lids.telemetry is None
    assert bench.lids.line_errors == {}


def test_unplugged_with_a_lid_open(start: Start) -> None:
    """The Maestro's time-out shuts the lid; the action is INTERRUPTED; the port comes back, is proved again, and works."""
    bench = start().ready()
    bench.open(2, 5, hold_ms=9000)
    until(lambda: bench.position(2) is LidPosition.OPEN)
    bench.end.unplug()
    pulled = time.monotonic()
    assert (bench.report(5).outcome, bench.report(5).code) == (Outcome.INTERRUPTED, "LINK_LOST")
    assert not bench.lids.state.connected
    assert bench.position(2) is LidPosition.UNKNOWN
    bench.open(3, 6)
    assert (bench.report(6).outcome, bench.report(6).code) == (Outcome.NO_REPLY, "NOT_CONNECTED")
    until(lambda: bench.device.all_closed)
    assert time.monotonic() - pulled < TIMEOUT_MS / 1000 + 1.0
    assert until(lambda: bench.worker.status.hint)
    bench.end.plug()
    bench.ready()
    bench.open(1, 7)
    assert bench.report(7).outcome is Outcome.UNCONFIRMED
    assert bench.device.opens == {2: 1, 1: 1}


def test_orders_from_other_threads(start: Start) -> None:
    """While the worker turns: a close before its time, an error counted and survived, the stop switch and a latched stop, and at
    the end `close_all`, which waits for the pulse.
    """
    bench = start(stop_channel=5).ready()
    assert bench.lids.state.capabilities == {"unconfirmed", "estop_sense"}
    bench.open(1, 1, hold_ms=9000)
    until(lambda: bench.position(1) is LidPosition.OPEN)
    assert bench.lids.close(1)
    assert bench.report(1).outcome is Outcome.UNCONFIRMED
    assert not bench.lids.close(9)
    bench.device.fail(PROTOCOL)
    until(lambda: bench.lids.line_errors == {"protocol": 1})
    until(lambda: bench.lids.state.all_closed)
    assert bench.worker.status.failures == 0
    bench.device.press_stop()
    until(lambda: bench.lids.state.stop_pressed)
    assert not bench.lids.clear_stop()
    bench.device.press_stop(pressed=False)
    until(lambda: not bench.lids.state.stop_pressed)
    bench.open(2, 2)
    assert (bench.report(2).outcome, bench.report(2).code) == (Outcome.REFUSED, "STOPPED")
    assert bench.lids.clear_stop()
    assert bench.lids.stop(latch=True)
    assert bench.lids.state.stopped
    assert bench.lids.clear_stop()
    bench.open(2, 3, hold_ms=9000)
    until(lambda: bench.position(2) is LidPosition.OPEN)
    assert bench.lids.close_all(3.0)
    assert bench.device.all_closed


def test_a_wrong_setting_is_told_for_ever(start: Start) -> None:
    """Not connected, with the setting that mends it; mended in the Control Center, it works without a restart of the daemon."""
    bench = start(home_us=0)
    until(lambda: "sends no pulse" in bench.worker.status.failing)
    assert not bench.lids.state.connected
    bench.open(1, 1)
    assert bench.report(1).code == "NOT_CONNECTED"
    for channel in bench.device.board.channels[:4]:
        channel.home = 4000
    bench.ready()
    until(lambda: not bench.worker.status.failing)


def test_shutdown_does_not_wait_for_a_proof(start: Start) -> None:
    """The worker ends within a moment, though the proof is silent for its time."""
    bench = start()
    until(lambda: bench.device.received)
    assert not bench.lids.close_all(0.1)
    before = time.monotonic()
    bench.halt()
    assert time.monotonic() - before < 1.0


def test_the_kind_chooses_the_driver() -> None:
    """controller.kind; without calibration or with a wrong URL it is the technician's; a step outside a session is refused."""
    assert isinstance(make_lids(settings("simmaestro://kind"), LIDS, CALIBRATION), MaestroLids)
    assert isinstance(make_lids(ControllerSettings(port="sim://kind"), LIDS, CALIBRATION), SerialLids)
    with pytest.raises(ConfigError, match="lid 1 has no calibration"):
        make_lids(settings("simmaestro://kind"), LIDS, {})
    with pytest.raises(DeviceError, match="outside its session"):
        MaestroLids(settings("simmaestro://lone"), LIDS, CALIBRATION)._step()
    for url in ("simmaestro://bin?speed=3", "simmaestro://bin?crc=2", "simmaestro://"):
        with pytest.raises(ConfigError, match="simmaestro"):
            make_lids(settings(url), LIDS, CALIBRATION)
