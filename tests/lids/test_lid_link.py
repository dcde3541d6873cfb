"""The lids' link, one suite over several ends: the simulator in this process, and the same behind a real pty with a link."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bin_daemon.config.settings import ControllerSettings, LidSettings
from bin_daemon.domain import Category, LidCommand, LidPosition, LidReport, Outcome
from bin_daemon.lids import SerialLids, serial_lids
from bin_daemon.service.worker import Worker
from bin_daemon.sim.controller import SimulatedController, controller
from bin_daemon.sim.faults import Drop, Duplicate, Garble, Truncate
from bin_daemon.sim.options import SimOptions
from bin_daemon.sim.serve import PtyController
from bin_daemon.sim.world import LidMotion, world
from firmware_protocol.hal import Motion

LIDS = tuple(LidSettings(lid=n, category=c, empty_mm=450, full_mm=120) for n, c in enumerate(Category, 1))
names = (f"link{n}" for n in itertools.count())


def until(condition: Callable[[], Any], timeout_s: float = 5.0) -> Any:
    """Wait for a condition, bounded; its value."""
    end = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.005)
    return value


class Bench:
    """One controller and our link to it, running."""

    def __init__(self, stack: ExitStack, port: str, device: SimulatedController, name: str) -> None:
        self.device = device
        self.motions: list[LidMotion] = []
        self.reports: list[LidReport] = []
        stack.callback(world(name).listen(self.motions.append))
        self.lids = SerialLids(ControllerSettings(port=port, telemetry_ms=50), LIDS)
        self.worker = Worker("link", self.lids.session, jitter=lambda _: 0.05)
        self.worker.start()
        stack.callback(self.halt)

    def halt(self) -> None:
        """The host dies: its thread ends and the port is closed, no lid is told anything."""
        self.worker.stop()
        assert self.worker.join(2.0)

    def ready(self) -> Bench:
        """Wait for the handshake and the first telemetry."""
        until(lambda: self.lids.state.all_closed)
        return self

    def open(self, lid: int, action_id: int, hold_ms: int = 1000, start_within_ms: int = 1500) -> None:
        """Ask for one opening."""
        self.lids.open(LidCommand(lid, None, hold_ms, start_within_ms, action_id))

    def report(self, action_id: int, timeout_s: float = 6.0) -> LidReport:
        """The report of that action."""

        def look() -> LidReport | None:
            self.reports += self.lids.poll()
            return next((r for r in self.reports if r.action_id == action_id), None)

        found = until(look, timeout_s)
        assert isinstance(found, LidReport)
        return found

    def let_pass(self, ms: int) -> None:
        """Let the controller's own clock go on."""

        def uptime_ms() -> int:
            return self.lids.telemetry.uptime_ms if self.lids.telemetry else 0

        end_ms = uptime_ms() + ms
        until(lambda: uptime_ms() >= end_ms)

    def moved(self, motion: Motion) -> bool:
        """Whether any lid did that."""
        return any(m.motion is motion for m in self.motions)

    @property
    def story(self) -> list[str]:
        """All motions in order."""
        return [m.motion.value for m in self.motions]

    def unplug(self) -> None:
        """Pull the cable."""
        self.device.unplug()

    def plug(self) -> None:
        """Put it back."""
        self.device.plug()


class PtyBench(Bench):
    """The same over a pty."""

    def __init__(self, stack: ExitStack, pty: PtyController, name: str) -> None:
        super().__init__(stack, pty.path, pty.device, name)
        self.pty = pty

    def unplug(self) -> None:
        """The port's name vanishes."""
        self.pty.unplug()

    def plug(self) -> None:
        """It comes back under another number."""
        self.pty.plug()


Start = Callable[..., Bench]


@pytest.fixture(params=["sim", "pty"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Starts a bench with the given simulator options; fast lids."""
    with ExitStack() as stack:

        def begin(**options: Any) -> Bench:
            name = next(names)
            chosen = SimOptions(**{"travel_ms": 100.0, **options})
            if request.param == "pty":
                return PtyBench(stack, stack.enter_context(PtyController(world(name), chosen, tmp_path / name)), name)
            device = controller(name, chosen)
            stack.callback(device.shut_down)
            return Bench(stack, f"sim://{name}?" + "&".join(f"{k}={v}" for k, v in _url(chosen).items()), device, name)

        yield begin


def _url(options: SimOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in SimOptions.__slots__}


def test_handshake_tells_who_answers(start: Start) -> None:
    """After the handshake all lids are known, and so are firmware, uid and capabilities."""
    bench = start().ready()
    hello = bench.lids.hello
    assert hello is not None
    assert hello.protocol.startswith("1.")
    assert hello.lids == 4
    assert len(hello.uid) == 12
    assert "limit_switches" in hello.capabilities
    assert bench.lids.state.capabilities == hello.capabilities
    assert [x.full_frac for x in bench.lids.state.lids.values()] == [0.0] * 4


def test_open_and_close_makes_one_report(start: Start) -> None:
    """One OPEN: the right lid opens, shuts by its hold time, and exactly one report says how long."""
    bench = start().ready()
    before = time.monotonic()
    bench.open(3, 41)
    took_s = time.monotonic() - before
    until(lambda: bench.lids.state.lids[3].position is LidPosition.OPEN)
    report = bench.report(41)
    assert (report.outcome, report.code) == (Outcome.CLOSED, "OK_ACCEPTED")
    assert report.open_ms is not None
    assert 900 <= report.open_ms <= 2000
    assert report.wire_ms is not None
    assert report.wire_ms <= took_s * 1000
    assert took_s < 1.0
    assert bench.story == ["opening", "open", "closing", "closed"]
    assert {m.lid for m in bench.motions} == {3}
    state = until(lambda: bench.lids.state.all_closed and bench.lids.state.lids[3])
    assert state.closed_t_s is not None
    assert state.full_frac > 0
    assert bench.lids.poll() == []


def test_the_same_action_opens_once(start: Start) -> None:
    """An action id that was executed is never executed again, not even after a controller reset."""
    bench = start().ready()
    bench.open(1, 7)
    bench.report(7)
    bench.device.reset()
    until(lambda: bench.lids.hello and bench.lids.hello.reset_cause == "external")
    bench.ready()
    assert bench.lids.hello is not None
    assert bench.lids.hello.last_action_id == 7
    bench.reports.clear()
    bench.open(1, 7)
    assert (bench.report(7).outcome, bench.report(7).code) == (Outcome.INTERRUPTED, "DUPLICATE")
    assert bench.device.opens == {7: 1}


def test_a_jam_and_a_finger(start: Start) -> None:
    """A stuck hinge is OBSTRUCTED and never opens; a finger under another lid makes it back off, shut later, and tell."""
    bench = start(jam=2, finger=4).ready()
    bench.open(2, 1)
    bench.open(4, 2, start_within_ms=9000)
    jam, finger = bench.report(1, 10.0), bench.report(2, 10.0)
    assert (jam.outcome, jam.code, jam.open_ms) == (Outcome.OBSTRUCTED, "JAM", None)
    assert (finger.outcome, finger.code) == (Outcome.CLOSED, "PINCH_REVERSED")
    assert [m.motion.value for m in bench.motions if m.lid == 2] == ["opening", "reversed", "closed"]
    backed_off = ["opening", "open", "closing", "reversed", "open", "closing", "closed"]
    assert [m.motion.value for m in bench.motions if m.lid == 4] == backed_off
    assert bench.device.double_opens == 0


def test_stop_halts_from_any_thread(start: Start) -> None:
    """A latched stop ends what is under way, refuses what comes, and clearing it moves nothing."""
    bench = start().ready()
    bench.open(1, 1, hold_ms=5000)
    until(lambda: bench.moved(Motion.OPEN))
    assert bench.lids.stop(latch=True)
    assert bench.report(1).outcome is Outcome.INTERRUPTED
    until(lambda: bench.lids.state.stopped)
    bench.open(2, 2)
    assert (bench.report(2).outcome, bench.report(2).code) == (Outcome.REFUSED, "STOPPED")
    before = len(bench.motions)
    assert bench.lids.clear_stop()
    bench.let_pass(300)
    assert len(bench.motions) == before
    assert bench.lids.close(1)
    until(lambda: bench.lids.state.all_closed)


def test_the_mushroom_switch_is_seen(start: Start) -> None:
    """Pressing it interrupts the action; the state says stopped."""
    bench = start().ready()
    bench.open(1, 1, hold_ms=5000)
    until(lambda: bench.moved(Motion.OPEN))
    bench.device.press_stop()
    report = bench.report(1)
    assert (report.outcome, report.code) == (Outcome.INTERRUPTED, "STOP_PRESSED")
    assert bench.lids.state.stopped


def test_low_supply_refuses(start: Start) -> None:
    """The controller's own refusal arrives as REFUSED with its word, and nothing moves."""
    bench = start(vin_mv=4000).ready()
    bench.open(1, 1)
    assert (bench.report(1).outcome, bench.report(1).code) == (Outcome.REFUSED, "LOW_VOLTAGE")
    assert not bench.lids.state.voltage_ok
    assert bench.motions == []


def test_a_lid_that_is_not_there_is_refused(start: Start) -> None:
    """Lid 9 of a bin with four: BAD_ARG."""
    bench = start().ready()
    bench.open(9, 1)
    assert (bench.report(1).outcome, bench.report(1).code) == (Outcome.REFUSED, "BAD_ARG")


def test_close_before_time(start: Start) -> None:
    """`close_all` shuts an open lid long before its hold time and waits for it."""
    bench = start().ready()
    bench.open(2, 1, hold_ms=9000)
    until(lambda: bench.moved(Motion.OPEN))
    assert bench.lids.close_all(3.0)
    assert bench.device.all_closed
    assert bench.report(1).outcome is Outcome.CLOSED


FAULTS: dict[str, Callable[[random.Random], Garble | Drop | Duplicate | Truncate]] = {
    "noise": lambda rng: Garble(rng, 0.006),
    "lost": lambda rng: Drop(rng, 0.2),
    "doubled": lambda rng: Duplicate(rng, 0.5),
    "cut": lambda rng: Truncate(rng, 0.15),
}


def test_a_bad_line_opens_no_wrong_lid_and_none_twice(start: Start) -> None:
    """Each fault, both ways: each command ends in one report, lids that moved are those asked for, none twice."""
    benches = {name: start().ready() for name in FAULTS}
    faults = {}
    for name, bench in benches.items():
        faults[name] = [FAULTS[name](random.Random(name + way)) for way in ("to controller", "to host")]
        bench.device.add_fault(to_controller=faults[name][0], to_host=faults[name][1])
    asked = {101: 1, 102: 4, 103: 2}
    for action_id, lid in asked.items():
        for bench in benches.values():
            bench.open(lid, action_id, start_within_ms=9000)
    for name, bench in benches.items():
        reports = [bench.report(action_id, 12.0) for action_id in asked]
        assert sorted(r.action_id for r in bench.reports) == sorted(asked)
        assert all(m.lid == asked[m.action_id] for m in bench.motions if m.motion is Motion.OPENING)
        assert bench.device.double_opens == 0
        assert sum(r.outcome is Outcome.CLOSED for r in reports) >= 2, reports
        assert sum(fault.struck for fault in faults[name]) >= 3


def test_a_slow_line_opens_once(start: Start) -> None:
    """Answers later than the 60 ms time-out, byte by byte: repeats reach a controller that has obeyed already."""
    bench = start(latency_ms=45, dribble=1).ready()
    bench.open(1, 7)
    report = bench.report(7)
    assert report.outcome is Outcome.CLOSED
    assert report.wire_ms is not None
    assert report.wire_ms >= 90
    assert bench.device.opens == {7: 1}


def test_a_reset_in_mid_air_shuts_the_lid(start: Start) -> None:
    """The controller resets with a lid open: it homes shut by itself, the action is INTERRUPTED, nothing is repeated."""
    bench = start().ready()
    bench.open(1, 5, hold_ms=8000)
    until(lambda: bench.moved(Motion.OPEN))
    bench.device.reset()
    assert bench.report(5).outcome is Outcome.INTERRUPTED
    until(lambda: bench.device.all_closed, 5.0)
    bench.ready()
    assert bench.device.opens == {5: 1}
    bench.open(2, 6)
    until(lambda: bench.device.opens == {5: 1, 6: 1})


def test_unplugged_and_replugged(start: Start) -> None:
    """The cable is out with a lid open: the action is INTERRUPTED, the lid shuts alone, the link comes back by itself."""
    bench = start().ready()
    bench.open(2, 5, hold_ms=9000)
    until(lambda: bench.moved(Motion.OPEN))
    bench.unplug()
    pulled = time.monotonic()
    assert bench.report(5).outcome is Outcome.INTERRUPTED
    assert not bench.lids.state.connected
    bench.open(3, 6)
    assert (bench.report(6).outcome, bench.report(6).code) == (Outcome.NO_REPLY, "NOT_CONNECTED")
    until(lambda: bench.worker.status.failing)
    assert bench.worker.status.hint
    until(lambda: bench.device.all_closed, 4.0)
    assert time.monotonic() - pulled < 2.0 + 1.0
    bench.plug()
    bench.ready()
    assert bench.device.opens == {5: 1}
    bench.open(1, 7)
    until(lambda: bench.device.opens == {5: 1, 7: 1})


def test_a_dead_host_leaves_closed_lids(start: Start) -> None:
    """The host dies with a lid open: shut within 2 s and its travel."""
    bench = start().ready()
    bench.open(1, 5, hold_ms=9000)
    until(lambda: bench.moved(Motion.OPEN))
    bench.halt()
    died = time.monotonic()
    until(lambda: bench.device.all_closed, 4.0)
    assert time.monotonic() - died < 2.0 + 1.0


def test_another_device_is_told_apart(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something that prints text lines: the error quotes it and names the port; no lid is ever asked to move."""
    monkeypatch.setattr(serial_lids, "HANDSHAKE_S", 0.7)
    bench = start(chatter=1)
    until(lambda: bench.worker.status.failing, 8.0)
    assert "GPGGA" in bench.worker.status.failing
    assert "controller.port" in bench.worker.status.hint
    assert not bench.lids.state.connected


def test_silence_is_told(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that never answers gives an error that says so."""
    monkeypatch.setattr(serial_lids, "HANDSHAKE_S", 0.7)
    bench = start(silent=1)
    until(lambda: bench.worker.status.failing, 8.0)
    assert "nothing answers HELLO" in bench.worker.status.failing


def test_winding_down_does_not_wait_for_a_handshake(start: Start) -> None:
    """Shutdown with a dead controller: the worker ends within a read, not after the handshake's patience."""
    bench = start(silent=1)
    until(lambda: bench.device.received)
    before = time.monotonic()
    assert not bench.lids.close_all(0.5)
    bench.halt()
    assert time.monotonic() - before < 1.5


def test_another_major_says_which_side_to_update(start: Start) -> None:
    """A controller of protocol 2: the host is too old and says so."""
    bench = start(major=2)
    until(lambda: bench.worker.status.failing, 8.0)
    assert "update the host" in bench.worker.status.hint


def test_a_flapping_cable_under_many_callers(start: Start) -> None:
    """Open, close, stop and read from several threads while the cable comes and goes: no error, one report for each open."""
    bench = start().ready()
    errors: list[BaseException] = []
    asked: list[int] = []
    done = threading.Event()

    def caller(number: int) -> None:
        ids = itertools.count(1000 * number)
        try:
            while not done.is_set():
                asked.append(action_id := next(ids))
                bench.open(number, action_id, start_within_ms=100)
                bench.lids.close(number)
                bench.lids.stop()
                assert len(bench.lids.state.lids) == 4
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            errors.append(error)

    callers = [threading.Thread(target=caller, args=(number,)) for number in (1, 2, 3)]
    for thread in callers:
        thread.start()
    try:
        for _ in range(4):
            until(lambda: bench.lids.state.connected)
            until(partial(lambda many: len(asked) > many, len(asked) + 8))
            bench.unplug()
            until(lambda: bench.worker.status.failing)
            bench.plug()
    finally:
        done.set()
    for thread in callers:
        thread.join(5.0)
    bench.halt()
    assert errors == []
    assert len(asked) > 30
    assert sorted(r.action_id for r in bench.lids.poll()) == sorted(asked)
    assert bench.device.double_opens == 0
