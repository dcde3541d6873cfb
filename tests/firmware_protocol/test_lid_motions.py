"""What lids do: openings end by themselves, obstructions reverse, a dead host leaves shut lids."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest

from firmware_protocol import limits as lim
from firmware_protocol import messages as m
from firmware_protocol.hal import Motion
from firmware_protocol.messages import Code, EventKind, LidPhase, ResetCause, Stop
from tests.firmware_protocol.bench import CLOSED_US, OPEN_US, Device, connected

FULL_CYCLE = [Motion.OPENING, Motion.OPEN, Motion.CLOSING, Motion.CLOSED]


def test_an_open_ends_by_itself() -> None:
    """One OPEN: opens, tells, holds, shuts, tells how long it stood open; the servo gets no signal afterwards."""
    d = connected()
    assert d.open(action_id=77) == (Code.OK_ACCEPTED, 0)
    d.run(6000)
    assert d.motions_of(0) == FULL_CYCLE
    opened, closed = d.events()
    assert (opened.kind, opened.lid, opened.action_id) == (EventKind.OPENED, 0, 77)
    assert (closed.kind, closed.lid, closed.action_id) == (EventKind.CLOSED, 0, 77)
    assert opened.value is not None
    assert closed.value is not None
    assert 900 <= opened.value <= 1300  # 1000 us at 20 us per 20 ms
    assert 2400 <= closed.value <= 2800  # hold 1500 and the way back
    assert d.board.lids[0].pulse_us is None
    assert d.controller.opens[77] == 1


def test_the_slew_limit_holds() -> None:
    """No two pulses of a moving lid differ by more than the slew limit."""
    d = connected()
    d.board.pulses.clear()
    d.open()
    d.run(6000)
    pulses = [p for lid, p in d.board.pulses if lid == 0 and p is not None]
    assert max(pulses) >= OPEN_US - 2
    assert max(abs(a - b) for a, b in pairwise(pulses)) <= 20


def test_hold_is_clamped() -> None:
    """A host cannot hold a lid open longer than the device allows."""
    d = connected()
    d.open(hold_ms=65535)
    d.run(lim.HOLD_MAX_MS + 4000)
    assert d.phase() is LidPhase.CLOSED


def test_without_switches_a_lid_arrives_by_time() -> None:
    """A board without limit switches still reports both ends."""
    d = Device()
    d.board.limit_switches = False
    d.run(12_000, ping=False)
    d.hello()
    d.open()
    d.run(7000)
    assert [e.kind for e in d.events() if e.action_id == 1] == [EventKind.OPENED, EventKind.CLOSED]


def test_lids_are_homed_shut_one_after_the_other() -> None:
    """After a power-on open lids are shut, one at a time, without a host."""
    d = Device(at_us=OPEN_US)
    d.run(8000, ping=False)
    assert [d.phase(n) for n in range(4)] == [LidPhase.CLOSED] * 4
    assert [(x.lid, x.motion) for x in d.motions] == [
        (n, motion) for n in range(4) for motion in (Motion.CLOSING, Motion.CLOSED)
    ]


def test_shut_lids_get_no_signal_at_power_up() -> None:
    """A lid on its closed switch is not touched by a start."""
    d = Device()
    d.run(3000, ping=False)
    assert {p for _, p in d.board.pulses} == {None}


def test_one_lid_moves_at_a_time() -> None:
    """Two OPENs: the second waits for the first motion to end and 300 ms more."""
    d = connected()
    d.open(1, lid=0)
    assert d.open(2, lid=1, start_within_ms=5000) == (Code.OK_ACCEPTED, 0)
    assert d.phase(1) is LidPhase.WAITING
    d.run(8000)
    begun = {(x.lid, x.motion): x.now_ms for x in d.motions}
    assert begun[1, Motion.OPENING] - begun[0, Motion.OPEN] >= lim.STAGGER_MS
    assert d.motions_of(1) == FULL_CYCLE


def test_no_two_pulses_move_in_the_same_step() -> None:
    """With four lids asked at once never two of them are under way."""
    d = connected()
    for n in range(4):
        d.open(n + 1, lid=n, start_within_ms=20_000)
    moving = 0
    for _ in range(4000):
        d.run(5)
        now = sum(d.phase(n) in (LidPhase.OPENING, LidPhase.CLOSING) for n in range(4))
        moving = max(moving, now)
    assert moving == 1
    assert all(d.motions_of(n) == FULL_CYCLE for n in range(4))


def test_a_wait_too_long_moves_nothing() -> None:
    """An OPEN that cannot begin within start_within_ms ends in TIMEOUT and never moves."""
    d = connected()
    d.open(1, lid=0)
    d.open(2, lid=1, start_within_ms=400)
    d.run(6000)
    assert d.motions_of(1) == []
    (timeout,) = d.events(EventKind.TIMEOUT)
    assert (timeout.lid, timeout.action_id, timeout.value) == (1, 2, m.TimeoutReason.NOT_STARTED)


def test_rest_between_two_motions_of_one_lid() -> None:
    """A lid that has just shut asks for a second of rest."""
    d = connected()
    d.open(1)
    d.run_until(lambda: Motion.CLOSED in d.motions_of())
    code, retry_ms = d.open(2)
    assert code is Code.BUSY
    assert 900 <= retry_ms <= 1000
    d.run(retry_ms + 5)
    assert d.open(2) == (Code.OK_ACCEPTED, 0)


def test_a_finger_reverses_the_lid_and_it_shuts_later() -> None:
    """Pinch while shutting: back open at once, 2 s, then shut."""
    d = connected()
    d.open()
    d.run_until(lambda: d.phase() is LidPhase.CLOSING)
    d.run(300)
    d.board.caught = 1
    d.run(10)
    assert d.phase() is LidPhase.REVERSING
    d.board.caught = 0
    d.run(8000)
    assert d.motions_of() == [
        *FULL_CYCLE[:3],
        Motion.REVERSED,
        Motion.OPEN,
        Motion.CLOSING,
        Motion.CLOSED,
    ]
    (pinched,) = d.events(EventKind.PINCH_REVERSED)
    assert pinched.value == 1
    assert d.controller.opens[1] == 1


def test_a_close_does_not_shorten_the_pause_after_a_finger() -> None:
    """After a reversal even CLOSE waits 2 s."""
    d = connected()
    d.open()
    d.run_until(lambda: d.phase() is LidPhase.CLOSING)
    d.run(300)
    d.board.caught = 1
    d.run(10)
    d.board.caught = 0
    d.run_until(lambda: d.phase() is LidPhase.OPEN)
    back_ms = d.now_ms
    assert d.ask(m.Close(0, 9)) == (Code.OK_ACCEPTED, 0)
    d.run_until(lambda: d.phase() is LidPhase.CLOSING)
    assert d.now_ms - back_ms >= lim.REVERSED_HOLD_MS


def test_three_reversals_latch_a_fault() -> None:
    """Something stays in the way: the third reversal still backs away, then the lid is dead until STOP_CLEAR; others work."""
    d = connected()
    d.board.lids[0].blocked_closing_us = 1500
    d.open()
    d.run(20_000)
    assert d.phase() is LidPhase.FAULT
    assert d.board.lids[0].pulse_us is None
    assert d.board.lids[0].at_us >= OPEN_US - 2
    assert [e.value for e in d.events(EventKind.JAM)] == [1, 2, 3]
    assert d.open(2, lid=0) == (Code.FAULT_LATCHED, 0)
    assert d.ask(m.Close(0, 3)) == (Code.FAULT_LATCHED, 0)
    assert d.open(4, lid=1) == (Code.OK_ACCEPTED, 0)
    d.run(6000)
    assert d.motions_of(1) == FULL_CYCLE
    d.board.lids[0].blocked_closing_us = None
    before = len(d.motions)
    assert d.ask(m.StopClear()) == (Code.OK_ACCEPTED, 0)
    d.run(3000)
    assert len(d.motions) == before  # clearing never moves a lid
    d.ask(m.Close(0, 5))
    d.run(3000)
    assert d.phase() is LidPhase.CLOSED


def test_a_jam_while_opening_shuts_the_lid_again() -> None:
    """A lid that cannot open goes back and reports CLOSED without having been open."""
    d = connected()
    d.board.lids[0].blocked_opening_us = 1400
    d.open()
    d.run(6000)
    assert d.motions_of() == [Motion.OPENING, Motion.REVERSED, Motion.CLOSED]
    assert [e.kind for e in d.events()] == [EventKind.JAM, EventKind.CLOSED]
    assert d.events(EventKind.CLOSED)[0].value is None


def test_a_lid_that_never_arrives_is_a_jam() -> None:
    """Switches that make no sense end each motion by its travel time, and after three the lid is dead."""
    d = connected()
    d.board.both_switches = True
    d.open()
    d.run(20_000)
    assert {e.value for e in d.events(EventKind.TIMEOUT)} == {m.TimeoutReason.TRAVEL}
    assert d.phase() is LidPhase.FAULT


def test_a_dead_host_leaves_shut_lids() -> None:
    """2 s without a frame and an open lid shuts, long before its hold is over; HOST_LOST waits for the next session."""
    d = connected()
    d.open(hold_ms=10_000)
    d.run_until(lambda: d.phase() is LidPhase.OPEN)
    silent_ms = d.now_ms
    d.run_until(lambda: d.phase() is LidPhase.CLOSED, ping=False)
    assert d.now_ms - silent_ms <= 2000 + 500 + 1300
    assert d.ask(m.Open(1, 5, 1000, 0))[0] is Code.NO_SESSION
    d.session += 1
    d.hello()
    d.run(300)
    assert EventKind.HOST_LOST in [e.kind for e in d.events()]


def test_a_host_dying_mid_opening_turns_the_lid_back() -> None:
    """The lid does not finish opening for a host that is gone."""
    d = connected()
    d.board.lids[0].cal = None
    d.controller.core.lids[0].cal = m.Calibration(0, OPEN_US, CLOSED_US, 5, 900)  # 4 s of travel
    d.open()
    d.run_until(lambda: Motion.CLOSED in d.motions_of(), ping=False)
    assert d.motions_of() == [Motion.OPENING, Motion.CLOSING, Motion.CLOSED]


def test_the_dead_man_forgets_what_waits() -> None:
    """A waiting OPEN of a lost host never begins."""
    d = connected()
    d.controller.core.lids[0].cal = m.Calibration(0, OPEN_US, CLOSED_US, 5, 900)
    d.open(1, lid=0)
    d.open(2, lid=1, start_within_ms=60_000)
    d.run(12_000, ping=False)
    assert d.motions_of(1) == []
    assert d.phase(0) is LidPhase.CLOSED


@pytest.mark.parametrize("cause", [ResetCause.WATCHDOG, ResetCause.EXTERNAL, ResetCause.BROWN_OUT])
def test_a_reset_mid_opening_shuts_and_remembers(cause: ResetCause) -> None:
    """The controller dies with a lid in mid-air: it homes, knows the action, and does not open again for it."""
    d = connected()
    d.open(action_id=99)
    d.run(500)
    d.controller.reset(cause, d.now_ms)
    assert d.board.lids[0].pulse_us is None
    d.run(4000, ping=False)
    assert d.phase() is LidPhase.CLOSED
    ack = d.hello()
    assert (ack.reset_cause, ack.last_action_id) == (cause, 99)
    assert d.open(action_id=99) == (Code.DUPLICATE, 0)
    assert d.controller.opens[99] == 1


def test_a_power_on_forgets_actions() -> None:
    """After a power-on the host decides afresh: the memory is not to be trusted."""
    d = connected()
    d.open(action_id=99)
    d.run(500)
    d.controller.reset(ResetCause.POWER_ON, d.now_ms)
    assert d.hello().last_action_id == 0


def test_a_damaged_memory_is_not_trusted() -> None:
    """Action ids whose CRC does not fit are forgotten."""
    d = connected()
    d.open(action_id=99)
    d.run(500)
    d.controller.survivor.actions = [98]
    d.controller.reset(ResetCause.WATCHDOG, d.now_ms)
    assert d.hello().last_action_id == 0


def test_stop_halts_and_the_lid_shuts_after_its_hold() -> None:
    """STOP takes the signal away at once; the hold time still ends the opening."""
    d = connected()
    d.open(1, hold_ms=1500)
    d.open(2, lid=1, start_within_ms=9000)
    d.run(500)
    assert d.ask(m.StopNow()) == (Code.OK_ACCEPTED, 0)
    at_us = d.board.lids[0].at_us
    assert d.board.lids[0].pulse_us is None
    d.run(1000)
    assert d.board.lids[0].at_us == at_us
    d.run(4000)
    assert d.phase() is LidPhase.CLOSED
    assert d.motions_of(1) == []


def test_a_latched_stop_holds_everything_until_cleared() -> None:
    """STOP_LATCH: no signal, no motion, OPEN and CLOSE refused; clearing moves nothing; CLOSE then does."""
    d = connected()
    d.open(hold_ms=1000)
    d.run_until(lambda: d.phase() is LidPhase.OPEN)
    d.ask(m.StopLatch())
    before = len(d.motions)
    d.run(8000)
    assert d.open(2, lid=1) == (Code.STOPPED, 0)
    assert d.ask(m.Close(0, 3)) == (Code.STOPPED, 0)
    assert d.ask(m.Calibrate(1)) == (Code.STOPPED, 0)
    assert d.ask(m.StopClear(magic=1)) == (Code.BAD_ARG, 0)
    assert d.ask(m.StopClear()) == (Code.OK_ACCEPTED, 0)
    d.run(8000)
    assert len(d.motions) == before
    assert d.phase() is LidPhase.HALTED
    assert d.open(4, lid=0)[0] is Code.BUSY
    d.ask(m.Close(0, 5))
    d.run(4000)
    assert d.phase() is LidPhase.CLOSED


def test_the_dead_man_shuts_after_a_cleared_stop() -> None:
    """A lid left half open by a stop is shut when the host then dies."""
    d = connected()
    d.open()
    d.run(500)
    d.ask(m.StopLatch())
    d.ask(m.StopClear())
    d.run(6000, ping=False)
    assert d.phase() is LidPhase.CLOSED


def test_a_dead_host_does_not_break_a_latched_stop() -> None:
    """The stop is stronger than the dead-man: nothing moves."""
    d = connected()
    d.open()
    d.run(500)
    d.ask(m.StopLatch())
    before = len(d.motions)
    d.run(10_000, ping=False)
    assert len(d.motions) == before


def test_the_mushroom_switch_latches() -> None:
    """Pressed: everything halts, told once; released: still stopped; cleared only when released."""
    d = connected()
    d.open()
    d.run(500)
    d.board.pressed = True
    d.run(500)
    assert d.controller.core.stop == Stop.MUSHROOM | Stop.LATCH
    assert d.ask(m.StopClear()) == (Code.STOPPED, 0)
    d.board.pressed = False
    d.run(500)
    assert d.open(2, lid=1) == (Code.STOPPED, 0)
    assert d.ask(m.StopClear()) == (Code.OK_ACCEPTED, 0)
    assert len(d.events(EventKind.STOP_PRESSED)) == 1


def test_close_shuts_early_and_late_ones_are_harmless() -> None:
    """CLOSE ends the hold; a repeated one is DUPLICATE; on a shut lid it just reports."""
    d = connected()
    d.open(1, hold_ms=10_000)
    d.run_until(lambda: d.phase() is LidPhase.OPEN)
    assert d.ask(m.Close(0, 2)) == (Code.OK_ACCEPTED, 0)
    assert d.ask(m.Close(0, 2)) == (Code.DUPLICATE, 0)
    d.run(4000)
    assert d.motions_of() == FULL_CYCLE
    assert d.events(EventKind.CLOSED)[0].action_id == 1
    assert d.ask(m.Close(0, 3)) == (Code.OK_ACCEPTED, 0)
    d.run(1000)
    assert d.motions_of() == FULL_CYCLE
    assert d.events(EventKind.CLOSED)[1].action_id == 3


def test_close_takes_back_a_waiting_open() -> None:
    """CLOSE on a lid that waits: its OPEN never begins."""
    d = connected()
    d.open(1, lid=0)
    d.open(2, lid=1, start_within_ms=9000)
    d.ask(m.Close(1, 3))
    d.run(6000)
    assert d.motions_of(1) == []


def test_twenty_opens_a_minute() -> None:
    """The 21st opening within a minute is refused with the time to wait; after that it works."""
    d = connected(lids=4)
    refused: list[int] = []
    for action in range(1, 23):
        lid = action % 4
        code, retry_ms = d.open(action, lid, hold_ms=1000, start_within_ms=4000)
        while code is Code.BUSY:
            d.run(100)
            code, retry_ms = d.open(action, lid, hold_ms=1000, start_within_ms=4000)
        if code is Code.RATE_LIMIT:
            refused.append(retry_ms)
            break
        d.run_until(partial(d.is_open, lid))
    assert sum(d.controller.opens.values()) == 20
    assert 0 < refused[0] <= 60_000
    d.run(refused[0] + 10)
    assert d.open(50, 1)[0] is not Code.RATE_LIMIT


def test_the_clock_may_wrap() -> None:
    """32-bit milliseconds run over in the middle of an opening and nothing is lost."""
    d = connected(now_ms=2**32 - 3500)
    d.open()
    d.run(6000)
    assert d.now_ms > 2**32
    assert d.motions_of() == FULL_CYCLE


def test_calibration_jogs_and_ends_shut() -> None:
    """JOG only while calibrating; other lids may not open meanwhile; at the end what was jogged is shut."""
    d = connected()
    assert d.ask(m.Jog(0, 1500))[0] is Code.BUSY
    assert d.ask(m.Calibrate(1)) == (Code.OK_ACCEPTED, 0)
    assert d.ask(m.Jog(0, 1200)) == (Code.OK_ACCEPTED, 0)
    d.run(1000)
    assert d.board.lids[0].at_us == 1200
    assert d.open(5, lid=1)[0] is Code.BUSY
    assert d.ask(m.Close(1, 6))[0] is Code.BUSY
    d.ask(m.Jog(1, 1100))
    assert d.board.lids[0].pulse_us is None
    d.run(500)
    assert d.ask(m.Calibrate(0)) == (Code.OK_ACCEPTED, 0)
    d.run(6000)
    assert d.phase(0) is d.phase(1) is LidPhase.CLOSED


def test_calibration_ends_by_itself() -> None:
    """Forgotten calibration times out, a stalled jog ends it at once, and so does the dead-man."""
    d = connected()
    d.ask(m.Calibrate(1))
    d.run(lim.CALIBRATING_MS + 100)
    assert not d.controller.core.calibrating
    d.ask(m.Calibrate(1))
    d.board.lids[0].blocked_opening_us = 1100
    d.ask(m.Jog(0, 1100))
    d.run(200)
    d.ask(m.Jog(0, 1500))
    d.run(1000)
    assert not d.controller.core.calibrating
    d.run(5000)
    d.ask(m.Calibrate(1))
    d.run(2500, ping=False)
    assert not d.controller.core.calibrating
