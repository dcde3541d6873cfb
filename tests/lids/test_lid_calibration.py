"""Which calibration counts, the controller's or the config's: the rule, the questions asked for it, and the same over a line."""

from __future__ import annotations

import itertools
from contextlib import ExitStack

import pytest
from structlog.testing import capture_logs

from bin_daemon.config.settings import CalibrationSettings, ControllerSettings, LidSettings
from bin_daemon.domain import Category, LidPosition, LidsState, LidState
from bin_daemon.lids import SerialLids
from bin_daemon.lids.calibration import TRIES_MAX, CalibrationCheck, Source, Verdict, judge
from bin_daemon.lids.snapshot import ControllerInfo
from bin_daemon.service.worker import Worker
from bin_daemon.sim.controller import controller
from bin_daemon.sim.options import SimOptions
from firmware_protocol.lid_core import default_calibration
from firmware_protocol.messages import Calibration, Code, GetCal, SetCal
from firmware_protocol.session import Answered, Calibrated, Lost
from tests.lids.test_lid_link import until

MINE, OTHER = "00000000002a", "00000000002b"
DEVICE = Calibration(0, 1700, 1100, 12, 800)
FILE = CalibrationSettings(open_us=1785, closed_us=1145, speed_us_per_20ms=13, jam_ma=860, uid=MINE)
SAME = CalibrationSettings(open_us=1700, closed_us=1100, speed_us_per_20ms=12, jam_ma=800, uid=OTHER)
names = (f"cal{n}" for n in itertools.count())


@pytest.mark.parametrize(
    ("wanted", "device", "uid", "verdict"),
    [
        (SAME, DEVICE, MINE, Verdict.KEEP),
        (FILE, DEVICE, OTHER, Verdict.STORE),  # the board was swapped
        (FILE, default_calibration(0), MINE, Verdict.STORE),  # the board has lost its memory
        (FILE.model_copy(update={"uid": ""}), DEVICE, MINE, Verdict.STORE),  # written by hand
        (FILE, DEVICE, MINE, Verdict.WARN),  # recalibrated from another laptop
        (FILE.model_copy(update={"uid": "0" * 12}), DEVICE, MINE, Verdict.WARN),  # measured on the simulator
        (FILE.model_copy(update={"uid": "0" * 12}), default_calibration(0), MINE, Verdict.WARN),
    ],
)
def test_the_rule(wanted: CalibrationSettings, device: Calibration, uid: str, verdict: Verdict) -> None:
    """Equal: nothing. Another board, a blank one, a hand: the file. The same board, or a simulator's file: the board."""
    assert judge(wanted, device, uid)[0] is verdict


class Bench:
    """A check, and a controller of four lids that answers it."""

    def __init__(self, wanted: dict[int, CalibrationSettings], *, uid: str = MINE) -> None:
        self.check = CalibrationCheck(wanted, [1, 2, 3, 4])
        self.device = [Calibration(n, 1700, 1100, 12, 800) for n in range(4)]
        self.position = dict.fromkeys((1, 2, 3, 4), LidPosition.CLOSED)
        self.code = Code.OK_ACCEPTED
        self.keeps = True
        self.asked: list[GetCal | SetCal] = []
        self.tickets = itertools.count(1)
        self.now_s = 0.0
        self.connect(uid)

    def connect(self, uid: str) -> None:
        """A session with that board."""
        self.check.connect(ControllerInfo("1.0.0", "0", 1, uid, "1.0", 4, "power_on", 0, frozenset()))

    @property
    def state(self) -> LidsState:
        """All lids as they stand."""
        return LidsState(connected=True, lids={n: LidState(n, x) for n, x in self.position.items()})

    def turn(self) -> GetCal | SetCal | None:
        """One step of the link; the answer comes at once."""
        self.now_s += 0.01
        command = self.check.next(self.state, self.now_s)
        if command is None:
            return None
        assert isinstance(command, (GetCal, SetCal))
        self.asked.append(command)
        ticket = next(self.tickets)
        self.check.sent(command, ticket, self.now_s)
        assert self.check.next(self.state, self.now_s) is None  # one at a time
        self.check.hear(Answered(ticket, command, self.code, 0, 0.005))
        if isinstance(command, SetCal) and self.keeps and self.code is Code.OK_ACCEPTED:
            values = (command.open_us, command.closed_us, command.speed_us_per_20ms, command.jam_ma)
            self.device[command.lid] = Calibration(command.lid, *values)
        if isinstance(command, GetCal):
            self.check.hear(Calibrated(self.device[command.lid]))
        return command

    def run(self) -> list[str]:
        """Until nothing is asked any more."""
        while self.turn():
            assert len(self.asked) < 50
        return [type(x).__name__ for x in self.asked]


def test_without_a_table_it_only_looks() -> None:
    """Each lid is asked once; what it has counts."""
    bench = Bench({})
    bench.device[3] = default_calibration(3)
    assert bench.run() == ["GetCal"] * 4
    assert bench.check.sources == {**dict.fromkeys((1, 2, 3), Source.CONTROLLER), 4: Source.DEFAULT}
    assert bench.check.values[1] == DEVICE


def test_a_swapped_board_gets_the_files_values_and_is_read_back() -> None:
    """Logged with what was there before; the other lids are left alone."""
    bench = Bench({2: FILE}, uid=OTHER)
    with capture_logs() as logs:
        assert bench.run() == ["GetCal", "GetCal", "SetCal", "GetCal", "GetCal", "GetCal"]
    assert bench.device[1] == Calibration(1, 1785, 1145, 13, 860)
    assert bench.check.sources[2] is Source.STORED
    assert [x["log_level"] for x in logs] == ["info", "info"]
    assert logs[1]["before"]["open_us"] == 1700


def test_the_same_board_with_newer_values_keeps_them() -> None:
    """One warning that names both and the command that mends it."""
    bench = Bench({1: FILE})
    with capture_logs() as logs:
        assert bench.run() == ["GetCal"] * 4
    assert bench.device[0] == DEVICE
    (warning,) = logs
    assert (warning["controller"]["open_us"], warning["config"]["open_us"]) == (1700, 1785)
    assert warning["fix"] == "run: bin-daemon lid calibrate 1"
    assert "calibrated elsewhere, or its memory was damaged" in warning["why"]  # nobody can tell which from here
    assert "after the file" not in warning["why"]
    assert bench.check.sources[1] is Source.DIFFERS


@pytest.mark.parametrize("position", [x for x in LidPosition if x not in {LidPosition.CLOSED, LidPosition.FAULT}])
def test_nothing_is_asked_while_a_lid_is_not_shut(position: LidPosition) -> None:
    """Whatever it does: the line is free for OPEN and CLOSE. A lid in fault may be so for its wrong ends."""
    bench = Bench({1: FILE}, uid=OTHER)
    bench.position[3] = position
    assert bench.turn() is None
    bench.position[3] = LidPosition.FAULT
    assert bench.turn() == GetCal(0)
    bench.position[3] = position
    assert bench.turn() is None
    bench.position[3] = LidPosition.CLOSED
    assert isinstance(bench.turn(), SetCal)


@pytest.mark.parametrize(("code", "keeps"), [(Code.BUSY, True), (Code.BAD_ARG, True), (Code.OK_ACCEPTED, False)])
def test_a_board_that_does_not_take_it_is_not_written_for_ever(code: Code, keeps: bool) -> None:  # noqa: FBT001 - parameter
    """Three tries on one board, over all its sessions; then an error in the log, and rest."""
    bench = Bench({1: FILE}, uid=OTHER)
    bench.keeps = keeps

    def turn() -> bool:
        due = bench.check.next(bench.state, bench.now_s)
        bench.code = code if isinstance(due, SetCal) else Code.OK_ACCEPTED
        return bench.turn() is not None

    for _ in range(3):
        while turn():
            pass
        bench.connect(OTHER)
    assert sum(isinstance(x, SetCal) for x in bench.asked) == TRIES_MAX
    while turn():
        pass
    assert bench.check.sources[1] is Source.FAILED


def test_values_lost_on_the_line_are_asked_for_again() -> None:
    """The RESULT came and the values did not: again after a second. A lost session begins afresh."""
    bench = Bench({})
    state = bench.state
    command = bench.check.next(state, 1.0)
    assert command == GetCal(0)
    bench.check.sent(command, 1, 1.0)
    bench.check.hear(Answered(1, command, Code.OK_ACCEPTED, 0, 0.005))
    assert bench.check.next(state, 1.5) is None
    assert bench.check.next(state, 2.1) == GetCal(0)
    bench.check.sent(command, 2, 2.1)
    bench.check.hear(Lost("silence"))
    assert bench.check.next(state, 2.2) == GetCal(0)


def test_over_a_line_a_new_board_is_given_the_files_values() -> None:
    """The real link to a blank board behind lids whose ends are elsewhere; then `details` says so."""
    name = next(names)
    lids = [LidSettings(lid=n, category=c) for n, c in enumerate(Category, 1)]
    options = SimOptions(blank=1, board=43, closed_us=1150, open_us=1780)
    device = controller(name, options)
    url = f"sim://{name}?blank=1&board=43&closed_us=1150&open_us=1780"
    with ExitStack() as stack:
        link = SerialLids(ControllerSettings(port=url, telemetry_ms=50), lids, {1: FILE})
        worker = Worker("link", link.session, jitter=lambda _: 0.05)
        worker.start()
        stack.callback(worker.join, 2.0)
        stack.callback(worker.stop)
        until(lambda: link.details[4].open_us)
        first, last = link.details[1], link.details[4]
        assert (first.open_us, first.closed_us, first.calibration) == (1785, 1145, Source.STORED)
        assert (first.phase, first.switches, first.current_ma, first.pulse_us) == ("closed", "shut", 8, None)
        assert (last.open_us, last.calibration) == (2000, Source.DEFAULT)
        assert device.board.load_cal(0) == Calibration(0, 1785, 1145, 13, 860)
        assert device.board.load_cal(3) is None
