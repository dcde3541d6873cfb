"""Lids behind a Maestro, in virtual time: the gate, the motions, what doubt does, and how honest the reports are."""

from __future__ import annotations

import contextlib
import itertools
import random

import pytest

from bin_daemon.config.settings import CalibrationSettings
from bin_daemon.domain import LidPosition, Outcome
from bin_daemon.errors import DeviceError
from bin_daemon.lids.maestro_bytes import Command, Dialect
from bin_daemon.sim.faults import Garble, Lose
from bin_daemon.sim.maestro_board import OVERRUN, PROTOCOL, SCRIPT_STACK, SIGNAL
from firmware_protocol.hal import Motion
from tests.lids.maestro_rig import MaestroBench

CLOSED, OPENING, OPEN, UNKNOWN = LidPosition.CLOSED, LidPosition.OPENING, LidPosition.OPEN, LidPosition.UNKNOWN


def test_one_open_ends_unconfirmed() -> None:
    """The right lid opens for its hold time and shuts; the report claims no more than that it was sent; then no servo hums."""
    bench = MaestroBench().prove()
    bench.open(3, 41, hold_ms=1500)
    assert bench.position(3) is OPENING
    bench.until(lambda: bench.position(3) is OPEN)
    opened_s = bench.now_s
    report = bench.report(41)
    assert (report.outcome, report.code, report.open_ms) == (Outcome.UNCONFIRMED, "SENT", None)
    assert report.wire_ms is not None
    assert report.wire_ms < 100
    assert 1.5 <= bench.now_s - opened_s <= 2.2
    assert [x.motion for x in bench.motions] == [Motion.OPENING, Motion.OPEN, Motion.CLOSING, Motion.CLOSED]
    assert {x.lid for x in bench.motions} == {3}
    bench.run(0.5)
    assert bench.device.pulse_us(3) == 1000
    bench.run(1.5)
    assert [bench.device.pulse_us(n) for n in range(1, 5)] == [None] * 4
    assert bench.core.state.all_closed
    assert bench.core.state.lids[3].closed_t_s is not None


def test_a_lid_without_pulses_opens_at_its_speed() -> None:
    """5.e: from off the Maestro jumps to its first target, so the closed pulse comes first and the lid is not flung open."""
    slow = CalibrationSettings(open_us=2000, closed_us=1000, speed_us_per_20ms=20)
    bench = MaestroBench(calibration=slow).prove()
    bench.run(3.0)
    assert bench.device.pulse_us(1) is None
    bench.open(1, 1)
    pulses = []
    while bench.position(1) is not OPEN:
        bench.turn()
        pulses.append(bench.device.pulse_us(1) or 0)
    steps = [b - a for a, b in itertools.pairwise(pulses)]
    assert pulses[0] < 1100
    assert max(steps) < 60
    assert pulses[-1] == 2000
    assert pulses.count(2000) >= 10  # the servo lags behind its pulse: open is told a moment later


def test_a_maestro_that_is_slow_to_send_pulses_again() -> None:
    """The opening target waits until the closed pulse is really sent: a target that overtakes it would be a jump."""
    bench = MaestroBench().prove()
    bench.run(3.0)
    position, looks = bench.line.position, itertools.count()
    bench.line.position = lambda channel: 0 if channel == 0 and next(looks) < 5 else position(channel)  # type: ignore[method-assign]
    bench.open(1, 1)
    for _ in range(3):
        bench.turn()
        assert bench.device.pulse_us(1) == 1000
    assert bench.report(1).outcome is Outcome.UNCONFIRMED


@pytest.mark.parametrize("turns", [1, 4])
def test_a_pulse_that_cannot_come_of_ours_is_seen(turns: int) -> None:
    """While pulses come back, and in mid-travel: beyond both ends of the lid's calibration is not on any way of ours."""
    slow = CalibrationSettings(open_us=2000, closed_us=1000, speed_us_per_20ms=20)
    bench = MaestroBench(calibration=slow).prove()
    bench.run(3.0)
    bench.open(1, 1)
    for _ in range(turns - 1):
        bench.turn()
    position = bench.line.position
    bench.line.position = lambda channel: 2100 * 4 if channel == 0 else position(channel)  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match="pulse of lid 1"):
        bench.turn()


def test_a_lid_that_is_not_shut_is_not_opened_again() -> None:
    """Standing open, waiting for its turn, or halted: BUSY, however long the command may wait."""
    bench = MaestroBench().prove()
    bench.open(1, 1, hold_ms=3000)
    bench.open(2, 2, start_within_ms=9000)
    bench.open(2, 3, start_within_ms=9000)
    bench.until(lambda: bench.position(1) is OPEN)
    bench.open(1, 4, start_within_ms=9000)
    assert [bench.report(n).code for n in (3, 4)] == ["BUSY", "BUSY"]
    assert [bench.report(n).outcome for n in (1, 2)] == [Outcome.UNCONFIRMED] * 2
    bench.open(3, 5)
    bench.until(lambda: bench.position(3) is OPEN)
    bench.core.halt(bench.now_s, "STOPPED", latch=True)
    bench.core.clear(bench.now_s)
    bench.open(3, 6, start_within_ms=9000)
    assert bench.report(6).code == "BUSY"
    assert bench.opens() == {1: 1, 2: 1, 3: 1}


def test_a_lid_rests_between_two_openings() -> None:
    """A second from its closing to its next opening."""
    bench = MaestroBench().prove()
    bench.open(1, 1)
    bench.report(1)
    shut_s = bench.core.state.lids[1].closed_t_s
    assert shut_s
    bench.open(1, 2)
    bench.report(2)
    assert [x.t_s for x in bench.motions if x.motion is Motion.OPENING][1] - shut_s >= 1.0


def test_one_lid_at_a_time() -> None:
    """A second OPEN waits until the first lid is shut and rested; one that may not wait so long is refused."""
    bench = MaestroBench().prove()
    bench.open(1, 1)
    bench.open(2, 2, start_within_ms=9000)
    bench.open(3, 3, start_within_ms=100)
    assert bench.report(3).code == "BUSY"
    bench.report(2)
    story = [(x.lid, x.motion) for x in bench.motions]
    assert story.index((1, Motion.CLOSED)) < story.index((2, Motion.OPENING))
    shut, began = (next(x.t_s for x in bench.motions if (x.lid, x.motion) == y) for y in (
        (1, Motion.CLOSED), (2, Motion.OPENING)))  # fmt: skip
    assert began - shut >= 0.3
    assert bench.opens() == {1: 1, 2: 1}


def test_a_wait_that_gets_too_long_is_refused() -> None:
    """Accepted while the first lid stood open, given up after start_within_ms: nothing moves for it."""
    bench = MaestroBench().prove()
    bench.open(1, 1, hold_ms=5000)
    bench.open(2, 2, start_within_ms=1000)
    assert (bench.report(2).outcome, bench.report(2).code) == (Outcome.REFUSED, "NOT_STARTED")
    bench.report(1)
    assert bench.opens() == {1: 1}


def test_refusals() -> None:
    """No such lid; the same action again, in this life of the port."""
    bench = MaestroBench().prove()
    bench.open(9, 1)
    assert (bench.report(1).outcome, bench.report(1).code) == (Outcome.REFUSED, "BAD_ARG")
    bench.open(1, 2)
    bench.report(2)
    bench.run(1.5)
    bench.reports.clear()
    bench.open(1, 2)
    assert (bench.report(2).outcome, bench.report(2).code) == (Outcome.INTERRUPTED, "DUPLICATE")
    assert bench.opens() == {1: 1}


def test_twenty_a_minute() -> None:
    """The twenty-first opening within a minute is refused, as by our own controller; hold times beyond the limits are clamped."""
    bench = MaestroBench().prove()
    for action_id in range(1, 21):
        bench.open(1 + action_id % 4, action_id, hold_ms=1)
        assert bench.report(action_id).outcome is Outcome.UNCONFIRMED
        bench.run(0.3)
    assert bench.now_s < 1060
    bench.open(1, 21)
    assert bench.report(21).code == "RATE_LIMIT"
    bench.run(61)
    bench.open(1, 22, hold_ms=60_000)
    bench.until(lambda: bench.position(1) is OPEN)
    opened_s = bench.now_s
    bench.report(22)
    assert bench.now_s - opened_s < 11.5


@pytest.mark.parametrize("bit", [PROTOCOL, OVERRUN, SIGNAL])
def test_an_error_while_open_shuts_and_is_told(bit: int) -> None:
    """4.e: the Maestro has sent all home; the action is INTERRUPTED with the error's name, and the line goes on."""
    bench = MaestroBench().prove()
    bench.open(2, 5, hold_ms=9000)
    bench.until(lambda: bench.position(2) is OPEN)
    bench.device.fail(bit)
    assert not bench.turn()
    assert bench.position(2) is LidPosition.CLOSING
    report = bench.report(5)
    assert report.outcome is Outcome.INTERRUPTED
    assert report.code.startswith("MAESTRO_")
    bench.until(lambda: bench.core.state.all_closed, 1.5)
    assert bench.device.all_closed
    bench.run(1.0)
    bench.open(2, 6)
    assert bench.report(6).outcome is Outcome.UNCONFIRMED
    assert bench.line.counts.total() == 1


def test_an_open_that_arrives_damaged_moves_nothing() -> None:
    """A byte of the Set Target is lost: the next command cuts it short, the error word says so, the action is INTERRUPTED."""
    bench = MaestroBench().prove()
    bench.run(2.5)
    bench.open(1, 1)  # attaches
    write = bench.port.write

    def lose_one(data: bytes) -> int:
        return write(data[:-1] if data[0] == Command.SET_TARGET else data)

    bench.port.write = lose_one  # type: ignore[method-assign]
    bench.turn()
    bench.port.write = write  # type: ignore[method-assign]
    assert (bench.report(1).outcome, bench.report(1).code) == (Outcome.INTERRUPTED, "MAESTRO_PROTOCOL")
    bench.run(3.0)
    assert bench.opens() == {}
    assert bench.core.state.all_closed


def test_a_dead_host_leaves_shut_lids() -> None:
    """Killed with a lid open: shut by the Maestro's own time-out, within 2 s and the travel."""
    bench = MaestroBench().prove()
    bench.open(4, 1, hold_ms=9000)
    bench.until(lambda: bench.position(4) is OPEN)
    bench.let_pass(1.5)
    assert bench.device.away()
    bench.let_pass(0.5 + 0.2 + 0.15)
    assert bench.device.all_closed


def test_a_host_that_slept_finds_its_lids_shut() -> None:
    """Suspended for 5 s with a lid open and resumed: the time-out is in the error word, the action is over, nothing reopens."""
    bench = MaestroBench().prove()
    bench.open(4, 1, hold_ms=9000)
    bench.until(lambda: bench.position(4) is OPEN)
    bench.let_pass(5.0)
    assert (bench.report(1).outcome, bench.report(1).code) == (Outcome.INTERRUPTED, "MAESTRO_TIMEOUT")
    bench.run(3.0)
    assert bench.opens() == {4: 1}
    assert bench.core.state.all_closed


def test_a_lid_that_somebody_else_moves_is_shut() -> None:
    """The Control Center opens a lid behind our back: seen at the next look, shut, and the Maestro proved afresh."""
    bench = MaestroBench().prove()
    bench.run(2.5)
    bench.device.set_target(2, 2000)
    with pytest.raises(DeviceError, match="pulse of lid 2") as caught:
        bench.run(0.5)
    assert "Control Center" in caught.value.hint
    assert bench.position(2) is LidPosition.CLOSING
    reopen(bench)
    assert bench.device.all_closed
    bench.open(2, 1)
    assert bench.report(1).outcome is Outcome.UNCONFIRMED


def test_an_open_lid_that_somebody_else_moves_is_shut() -> None:
    """The action is INTERRUPTED, for nobody knows what happened to it."""
    bench = MaestroBench().prove()
    bench.open(2, 1, hold_ms=9000)
    bench.until(lambda: bench.position(2) is OPEN)
    bench.device.set_target(2, 1500)
    with pytest.raises(DeviceError, match="pulse of lid 2"):
        bench.run(0.5)
    bench.reports += bench.ledger.take()
    bench.let_pass(0.5)
    assert bench.device.all_closed
    assert (bench.report(1).outcome, bench.report(1).code) == (Outcome.INTERRUPTED, "PULSE_CHANGED_BY_ANOTHER")


def test_a_channel_whose_range_is_too_narrow_is_a_fault() -> None:
    """Max of the channel below open_us: the pulse never arrives. Lid shut and latched, the others work, a clear frees it."""
    bench = MaestroBench().prove()
    bench.device.board.channels[0].high = 1800 * 4
    bench.open(1, 1)
    assert (bench.report(1).outcome, bench.report(1).code) == (Outcome.FAULT, "PULSE_LIMITED")
    bench.until(lambda: bench.position(1) is LidPosition.FAULT)
    assert bench.device.all_closed
    bench.open(1, 2)
    assert bench.report(2).code == "FAULT_LATCHED"
    assert not bench.core.ask_close(1, bench.now_s)
    bench.open(2, 3)
    assert bench.report(3).outcome is Outcome.UNCONFIRMED
    assert bench.core.clear(bench.now_s)
    before = len(bench.motions)
    bench.run(4.0)
    assert len(bench.motions) == before
    assert bench.position(1) is UNKNOWN
    assert bench.core.ask_close(1, bench.now_s)
    bench.until(lambda: bench.core.state.all_closed)


def test_a_jam_goes_unnoticed_and_is_not_claimed() -> None:
    """What a Maestro is worse at: a stuck hinge ends as UNCONFIRMED, never as closed."""
    bench = MaestroBench(jam=2).prove()
    bench.open(2, 1)
    assert bench.report(1).outcome is Outcome.UNCONFIRMED


def test_a_close_before_time() -> None:
    """A close turns an opening lid back at once and withdraws a waiting one."""
    bench = MaestroBench().prove()
    core = bench.core
    bench.open(1, 1, hold_ms=9000)
    bench.open(2, 2, start_within_ms=9000)
    bench.turn()
    assert core.ask_close(1, bench.now_s)
    assert core.ask_close(2, bench.now_s)
    assert not core.ask_close(7, bench.now_s)
    assert bench.report(2).code == "NOT_STARTED"
    assert bench.report(1).outcome is Outcome.UNCONFIRMED
    assert core.ask_close(1, bench.now_s)
    assert bench.opens().get(2) is None


def test_stop_takes_the_pulses_away_then_shuts() -> None:
    """A stop in mid-travel: no pulse, the place unknown; after 2 s the pulse comes back where it was and shuts without a jump."""
    slow = CalibrationSettings(open_us=2000, closed_us=1000, speed_us_per_20ms=20)
    bench = MaestroBench(calibration=slow).prove()
    bench.open(1, 1)
    bench.until(lambda: (bench.device.pulse_us(1) or 0) > 1400)
    bench.core.halt(bench.now_s, "STOPPED", latch=False)
    bench.turn()
    assert bench.device.pulse_us(1) is None
    assert bench.position(1) is UNKNOWN
    assert (bench.report(1).outcome, bench.report(1).code) == (Outcome.INTERRUPTED, "STOPPED")
    bench.until(lambda: bench.device.pulse_us(1) is not None)
    assert (bench.device.pulse_us(1) or 0) > 1400
    bench.until(lambda: bench.core.state.all_closed)


def test_a_latched_stop_holds_until_cleared() -> None:
    """Nothing opens, nothing closes, no servo has a signal; clearing moves nothing; a close shuts."""
    bench = MaestroBench().prove()
    core = bench.core
    bench.open(1, 1, hold_ms=9000)
    bench.until(lambda: bench.position(1) is OPEN)
    core.halt(bench.now_s, "STOPPED", latch=True)
    bench.run(10.0)
    assert core.state.stopped
    assert bench.device.away()
    assert [bench.device.pulse_us(n) for n in range(1, 5)] == [None] * 4
    bench.open(2, 2)
    assert bench.report(2).code == "STOPPED"
    assert not core.ask_close(1, bench.now_s)
    before = len(bench.motions)
    assert core.clear(bench.now_s)
    bench.run(5.0)
    assert len(bench.motions) == before
    assert core.ask_close(1, bench.now_s)
    bench.until(lambda: core.state.all_closed)


def test_a_stop_outlasts_an_error() -> None:
    """A stop is latched and the Maestro goes home by an error: the pulses are taken away again at once."""
    bench = MaestroBench().prove()
    bench.open(1, 1, hold_ms=9000)
    bench.until(lambda: bench.position(1) is OPEN)
    bench.core.halt(bench.now_s, "STOPPED", latch=True)
    bench.run(1.0)
    bench.device.fail(PROTOCOL)
    bench.run(0.5)
    assert [bench.device.pulse_us(n) for n in range(1, 5)] == [None] * 4
    assert bench.position(1) is UNKNOWN


def test_a_latched_stop_and_the_count_of_openings_outlive_the_port() -> None:
    """The cable is out and in again: what was stopped is stopped, and the twenty-first opening is still the twenty-first."""
    bench = MaestroBench().prove()
    for action_id in range(1, 21):
        bench.open(1 + action_id % 4, action_id)
        bench.report(action_id)
        bench.run(0.3)
    bench.core.halt(bench.now_s, "STOPPED", latch=True)
    reopen(bench)
    assert bench.core.state.stopped
    bench.open(1, 21)
    assert bench.report(21).code == "STOPPED"
    assert bench.core.clear(bench.now_s)
    bench.open(1, 22)
    assert bench.report(22).code == "RATE_LIMIT"


def test_error_after_error_is_told() -> None:
    """Five within ten seconds: a DeviceError, which becomes a fault that a technician sees."""
    bench = MaestroBench().prove()
    for _ in range(4):
        bench.device.fail(SIGNAL)
        bench.run(1.0)
    bench.device.fail(SIGNAL)
    with pytest.raises(DeviceError, match="error after error") as caught:
        bench.run(1.0)
    assert "baud rate" in caught.value.hint


def test_a_maestro_that_restarts_is_proved_afresh() -> None:
    """On a serial line its port stays open: seen by its pulses with a lid open or all at rest, and its speeds are set again."""
    for lid_open in (True, False):
        bench = MaestroBench().prove()
        if lid_open:
            bench.open(1, 1, hold_ms=9000)
            bench.until(lambda: bench.position(1) is OPEN)  # noqa: B023 - called in this turn of the loop
        else:
            bench.run(2.5)
        bench.device.power_on()
        with pytest.raises(DeviceError, match="something else has changed"):
            bench.run(1.0)
        reopen(bench)
        assert bench.device.all_closed
        assert bench.device.board.channels[0].speed == 200


def test_speed_goes_with_every_target() -> None:
    """A Maestro that restarted unseen, its pulses still on, has lost its speeds; the next opening is not flung open for that."""
    bench = MaestroBench().prove()
    bench.device.power_on()
    bench.open(1, 1)
    assert bench.report(1).outcome is Outcome.UNCONFIRMED
    opening, opened = bench.motions[:2]
    assert opened.t_s - opening.t_s > 0.15


def test_the_stop_switch() -> None:
    """Pressed (or its wire broken) with a lid open: INTERRUPTED, no pulses, not to be cleared before it is released."""
    bench = MaestroBench(stop_channel=5).prove()
    core = bench.core
    bench.open(1, 1, hold_ms=9000)
    bench.until(lambda: bench.position(1) is OPEN)
    bench.device.press_stop()
    assert (bench.report(1).outcome, bench.report(1).code) == (Outcome.INTERRUPTED, "STOP_PRESSED")
    assert (core.state.stopped, core.state.stop_pressed) == (True, True)
    assert bench.device.pulse_us(1) is None
    assert not core.clear(bench.now_s)
    bench.device.press_stop(pressed=False)
    bench.run(5.0)
    assert (core.state.stopped, core.state.stop_pressed) == (True, False)
    assert bench.device.away()
    assert core.clear(bench.now_s)
    assert core.ask_close(1, bench.now_s)
    bench.until(lambda: core.state.all_closed)


@pytest.mark.parametrize("reading", [0, 767, 6000])
def test_a_stop_channel_that_is_no_closed_contact_is_a_stop(reading: int) -> None:
    """No voltage, half a voltage, or a channel that is a servo output: all count as pressed."""
    bench = MaestroBench(stop_channel=5).prove()
    bench.device.board.channels[5].reading = reading
    bench.turn()
    assert bench.core.state.stop_pressed


def test_a_script_that_fails_ends_the_session() -> None:
    """Its bit in the error word: lids shut, and a DeviceError that says what to erase."""
    bench = MaestroBench().prove()
    bench.open(1, 1, hold_ms=9000)
    bench.until(lambda: bench.position(1) is OPEN)
    bench.device.fail(SCRIPT_STACK)
    with pytest.raises(DeviceError, match="script") as caught:
        bench.turn()
    assert "erase the script" in caught.value.hint
    bench.let_pass(2.5)
    assert bench.device.all_closed


def test_the_farewell_shuts_before_the_time_out() -> None:
    """The port is closed in good order with a lid open: told to shut at once. After a stop nothing is told."""
    bench = MaestroBench().prove()
    bench.open(1, 1, hold_ms=9000)
    bench.until(lambda: bench.position(1) is OPEN)
    bench.session.farewell()
    bench.let_pass(0.5)
    assert bench.device.all_closed
    sent = len(bench.port.written)
    bench.core.halt(bench.now_s, "STOPPED", latch=True)
    bench.session.farewell()
    assert len(bench.port.written) == sent
    bench.port.plugged = False
    bench.core.clear(bench.now_s)
    bench.session.farewell()


def test_servos_mounted_the_other_way_round() -> None:
    """closed_us above open_us."""
    turned = CalibrationSettings(open_us=1000, closed_us=2000, speed_us_per_20ms=100)
    bench = MaestroBench(calibration=turned, open_us=1000, closed_us=2000, home_us=2000).prove()
    bench.open(1, 1)
    assert bench.report(1).outcome is Outcome.UNCONFIRMED
    assert bench.opens() == {1: 1}


@pytest.mark.parametrize("fault", ["lost", "noise", "noise with crc"])
def test_a_bad_line_leaves_shut_lids(fault: str) -> None:
    """Byte faults on a TTL line, both ways, an OPEN every 4 s for 100 s: every command ends in one report, no lid stays open
    longer than its time, and with CRC none opens that was not asked for.
    """
    crc = fault == "noise with crc"
    bench = MaestroBench(dialect=Dialect(crc=crc), crc=int(crc), channels=6).prove()
    rng = random.Random(11)
    asked: dict[int, int] = {}
    faults = [Lose(rng, 0.0004) if fault == "lost" else Garble(rng, 0.0004) for _ in range(2)]
    bench.device.add_fault(to_controller=faults[0], to_host=faults[1])
    open_since: float | None = None
    next_s, end_s = bench.now_s, bench.now_s + 100
    while bench.now_s < end_s:
        try:
            if bench.now_s >= next_s:
                next_s, action_id, lid = bench.now_s + 4.0, len(asked) + 1, rng.randint(1, 4)
                asked[action_id] = lid
                bench.open(lid, action_id)
            bench.turn()
        except DeviceError:
            reopen(bench)
        open_since = None if bench.device.all_closed else open_since or bench.now_s
        assert open_since is None or bench.now_s - open_since < 1.0 + 2.2 + 2 * 0.35 + 0.4
    bench.device._to_device.faults.clear()
    bench.device._to_host.faults.clear()
    reopen(bench)
    bench.run(15.0)
    assert sorted(x.action_id for x in bench.reports) == sorted(asked)
    assert sum(x.struck for x in faults) > 10
    assert bench.core.state.all_closed
    wished = [x for x in bench.reports if x.outcome is Outcome.UNCONFIRMED]
    assert len(wished) >= len(asked) / 4
    if crc:
        assert all(n <= list(asked.values()).count(lid) for lid, n in bench.opens().items())


def reopen(bench: MaestroBench) -> None:
    """What the worker does after a DeviceError: farewell, and the port afresh until the proof succeeds."""
    bench.session.farewell()
    bench.ledger.interrupt("LINK_LOST")
    bench.reports += bench.ledger.take()
    for _ in range(50):
        with contextlib.suppress(DeviceError):
            bench.prove()
            return
        bench.let_pass(0.25)
    pytest.fail("never proved again")
