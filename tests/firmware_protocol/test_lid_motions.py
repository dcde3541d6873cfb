"""What lids do: openings end by themselves, obstructions reverse, a dead host leaves shut lids. On all bodies."""

from __future__ import annotations

import pytest

from firmware_protocol import limits as lim
from firmware_protocol import messages as m
from firmware_protocol.hal import Motion
from firmware_protocol.messages import Code, EventKind, LidPhase, ResetCause, Stop
from tests.firmware_protocol.bodies.body import Fitting
from tests.firmware_protocol.bodies.stand import FULL_CYCLE, Stand, shut_stand
from tests.firmware_protocol.conftest import MakeBody
from tests.firmware_protocol.plant import CLOSED_US, OPEN_US, SWITCH_US

SLOW = 5
"""Calibrated speed of a lid that takes 4 s."""


def test_an_open_ends_by_itself(stand: Stand) -> None:
    """One OPEN: opens, tells, holds, shuts, tells how long it stood open; the servo gets no signal afterwards."""
    assert stand.open(action_id=77) == (Code.OK_ACCEPTED, 0)
    stand.run(6000)
    assert stand.motions_of(0) == FULL_CYCLE
    opened, closed = stand.events()
    assert (opened.kind, opened.lid, opened.action_id) == (EventKind.OPENED, 0, 77)
    assert (closed.kind, closed.lid, closed.action_id) == (EventKind.CLOSED, 0, 77)
    assert opened.value is not None
    assert closed.value is not None
    assert 900 <= opened.value <= 1300  # 1000 us at 20 us per 20 ms
    assert 2400 <= closed.value <= 2800  # hold 1500 and the way back
    assert stand.silent()
    assert stand.openings() == 1


@pytest.mark.needs("virtual")
def test_the_slew_limit_holds(stand: Stand) -> None:
    """No two pulses of a moving lid differ by more than the slew limit, and the way is gone in steps of 20 ms."""
    stand.open()
    stand.run(6000)
    pulses = [x for x in stand.pulses(0) if x.pulse_us is not None]
    assert max(x.pulse_us or 0 for x in pulses) >= OPEN_US - 2 * SWITCH_US
    assert stand.largest_step_us(0) <= 20 + 1
    way = [x.t_ms for x in pulses if CLOSED_US + 50 < (x.pulse_us or 0) < OPEN_US - 50][:40]
    assert way[-1] - way[0] == pytest.approx(39 * lim.STEP_MS, abs=5)


@pytest.mark.long_on_avr
def test_hold_is_clamped(stand: Stand) -> None:
    """A host cannot hold a lid open longer than the device allows."""
    stand.open(hold_ms=65535)
    stand.run(lim.HOLD_MAX_MS + 4000)
    assert stand.motions_of() == FULL_CYCLE


@pytest.mark.needs("blind")
def test_without_switches_a_lid_arrives_by_time(make_body: MakeBody) -> None:
    """A board without limit switches still reports both ends."""
    stand = Stand(make_body())

    def blind(inputs: object) -> None:
        for lid in stand.inputs.lids:
            lid.limits = None

    stand.sensors = blind
    stand.reset(ResetCause.POWER_ON)
    stand.run(12_000, ping=False)
    stand.hello()
    stand.open()
    stand.run(7000)
    assert [e.kind for e in stand.events() if e.action_id == 1] == [EventKind.OPENED, EventKind.CLOSED]


@pytest.mark.needs("inputs")
def test_lids_are_homed_shut_one_after_the_other(make_body: MakeBody) -> None:
    """After a power-on open lids are shut, one at a time, without a host, from the open pulse on."""
    stand = Stand(make_body(), at_us=OPEN_US)
    stand.run(8000, ping=False)
    assert stand.plant.all_shut
    assert [(x.lid, x.motion) for x in stand.plant.moved] == [
        (n, motion) for n in range(4) for motion in (Motion.CLOSING, Motion.CLOSED)
    ]
    for lid in range(4):
        first = next(x for x in stand.pulses(lid) if x.pulse_us is not None)
        assert first.pulse_us == pytest.approx(OPEN_US, abs=21)


@pytest.mark.needs("virtual")
def test_shut_lids_get_no_signal_at_power_up(make_body: MakeBody) -> None:
    """A lid on its closed switch is not touched by a start."""
    stand = Stand(make_body())
    stand.run(3000, ping=False)
    assert stand.no_signal()


@pytest.mark.needs("pulses")
def test_one_lid_moves_at_a_time(stand: Stand) -> None:
    """Two OPENs: the second waits for the first motion to end and 300 ms more."""
    stand.open(1, lid=0)
    assert stand.open(2, lid=1, start_within_ms=5000) == (Code.OK_ACCEPTED, 0)
    assert stand.phase(1) is LidPhase.WAITING
    stand.run(8000)
    begun = {(x.lid, x.motion): x.t_ms for x in stand.plant.moved}
    assert begun[1, Motion.OPENING] - begun[0, Motion.OPEN] >= lim.STAGGER_MS
    assert stand.motions_of(1) == FULL_CYCLE


@pytest.mark.needs("virtual")
@pytest.mark.long_on_avr
def test_no_two_lids_move_in_the_same_step(stand: Stand) -> None:
    """With four lids asked at once never two of them are under way."""
    for n in range(4):
        stand.open(n + 1, lid=n, start_within_ms=20_000)
    moving = 0
    for _ in range(2000):
        stand.run(10)
        moving = max(moving, sum(abs(x.speed) > 50 for x in stand.plant.lids))
    assert moving == 1
    assert all(stand.motions_of(n) == FULL_CYCLE for n in range(4))


def test_a_wait_too_long_moves_nothing(stand: Stand) -> None:
    """An OPEN that cannot begin within start_within_ms ends in TIMEOUT and never moves."""
    stand.open(1, lid=0)
    stand.open(2, lid=1, start_within_ms=400)
    stand.run(6000)
    assert stand.motions_of(1) == []
    (timeout,) = stand.events(EventKind.TIMEOUT)
    assert (timeout.lid, timeout.action_id, timeout.value) == (1, 2, m.TimeoutReason.NOT_STARTED)


def test_rest_between_two_motions_of_one_lid(stand: Stand) -> None:
    """A lid that has just shut asks for a second of rest."""
    stand.open(1)
    stand.run_until(lambda: bool(stand.events(EventKind.CLOSED)))
    code, retry_ms = stand.open(2)
    assert code is Code.BUSY
    assert 900 <= retry_ms <= 1000
    stand.run(retry_ms + 5)
    assert stand.open(2) == (Code.OK_ACCEPTED, 0)


def closing(stand: Stand) -> None:
    """Lid 0 was opened and is on its way back, a third of it done."""
    stand.open()
    stand.run_until(lambda: stand.lid.motion is Motion.CLOSING)
    stand.run(300)


@pytest.mark.needs("inputs")
def test_a_finger_reverses_the_lid_and_it_shuts_later(stand: Stand) -> None:
    """Pinch while shutting: back open at once, 2 s, then shut; the pulse turns within two servo frames of the strip's word."""
    closing(stand)
    stand.lid.finger_us = 1600
    stand.run_until(lambda: stand.lid.pinched, 1000)
    felt_ms = stand.now_ms
    squeezed = 0.0
    while stand.lid.motion is not Motion.REVERSED:
        assert stand.now_ms - felt_ms < 200
        stand.run(1, step_ms=1)
        squeezed = max(squeezed, stand.lid.pressed)
    turned = next(
        b.t_ms
        for a, b in zip(stand.pulses(0, felt_ms - 40), stand.pulses(0, felt_ms - 40)[1:], strict=False)
        if (b.pulse_us or 0) > (a.pulse_us or 0)
    )
    assert turned - felt_ms <= 2 * lim.STEP_MS + 10
    assert squeezed < 0.9  # turned before the servo gave all it has
    stand.lid.finger_us = None
    stand.run(8000)
    assert stand.motions_of() == [*FULL_CYCLE[:3], Motion.REVERSED, Motion.OPEN, Motion.CLOSING, Motion.CLOSED]
    (pinched,) = stand.events(EventKind.PINCH_REVERSED)
    assert pinched.value == 1
    assert stand.openings() == 1


@pytest.mark.needs("inputs")
def test_a_finger_is_felt_by_the_servos_current_alone(stand: Stand) -> None:
    """A dead pinch strip: the stalled servo's current turns the lid back, within 80 ms of its rise and the slew's few frames."""
    closing(stand)
    stand.lid.strip = False
    stand.lid.finger_us = 1600
    stand.run_until(lambda: stand.lid.pressed > 0.6, 1000)
    felt_ms = stand.now_ms
    stand.run_until(lambda: stand.lid.pressed == 0.0, 1000)
    assert stand.now_ms - felt_ms <= 250
    stand.lid.finger_us = None
    (jam,) = stand.events(EventKind.JAM)
    assert jam.value == 1
    stand.run(8000)
    assert stand.plant.all_shut


@pytest.mark.needs("inputs")
def test_a_close_does_not_shorten_the_pause_after_a_finger(stand: Stand) -> None:
    """After a reversal even CLOSE waits 2 s."""
    closing(stand)
    stand.lid.finger_us = 1600
    stand.run_until(lambda: stand.lid.motion is Motion.REVERSED)
    stand.lid.finger_us = None
    stand.run_until(lambda: stand.lid.motion is Motion.OPEN)
    back_ms = stand.now_ms
    assert stand.ask(m.Close(0, 9)) == (Code.OK_ACCEPTED, 0)
    stand.run_until(lambda: stand.lid.motion is Motion.CLOSING)
    assert stand.now_ms - back_ms >= lim.REVERSED_HOLD_MS


@pytest.mark.needs("inputs")
def test_three_reversals_latch_a_fault(stand: Stand) -> None:
    """Something stays in the way: the third reversal still backs away, then the lid is dead until STOP_CLEAR; others work."""
    stand.lid.strip = False
    stand.open()
    stand.run_until(lambda: stand.lid.motion is Motion.OPEN)
    stand.lid.finger_us = 1500
    stand.run(18_000)
    assert stand.phase() is LidPhase.FAULT
    assert stand.look().state == m.ControllerState.FAULT
    assert stand.silent()
    assert stand.lid.on_open
    assert [e.value for e in stand.events(EventKind.JAM)] == [1, 2, 3]
    assert stand.open(2, lid=0) == (Code.FAULT_LATCHED, 0)
    assert stand.ask(m.Close(0, 3)) == (Code.FAULT_LATCHED, 0)
    assert stand.open(4, lid=1) == (Code.OK_ACCEPTED, 0)
    stand.run(6000)
    assert stand.motions_of(1) == FULL_CYCLE
    stand.lid.finger_us = None
    before = len(stand.plant.moved)
    assert stand.ask(m.StopClear()) == (Code.OK_ACCEPTED, 0)
    stand.run(3000)
    assert len(stand.plant.moved) == before  # clearing never moves a lid
    stand.ask(m.Close(0, 5))
    stand.run(3000)
    assert stand.plant.all_shut


@pytest.mark.needs("inputs")
def test_a_jam_while_opening_shuts_the_lid_again(stand: Stand) -> None:
    """A lid that cannot open goes back and reports CLOSED without having been open."""
    stand.lid.jam_us = 1400
    stand.open()
    stand.run(6000)
    assert stand.motions_of() == [Motion.OPENING, Motion.REVERSED, Motion.CLOSED]
    assert [e.kind for e in stand.events()] == [EventKind.JAM, EventKind.CLOSED]
    assert stand.events(EventKind.CLOSED)[0].value is None
    assert stand.pulses(0)[-1].pulse_us is None


@pytest.mark.needs("inputs")
@pytest.mark.long_on_avr
def test_a_lid_that_never_arrives_is_a_jam(stand: Stand) -> None:
    """Switches that make no sense end each motion by its travel time; the first of them latches, with the lid shut."""
    stand.open()
    stand.lid.both_switches = True
    stand.run(20_000)
    late = [e.value for e in stand.events(EventKind.TIMEOUT)]
    assert late == [m.TimeoutReason.SHUT_SWITCH, m.TimeoutReason.TRAVEL]
    assert stand.phase() is LidPhase.FAULT
    assert stand.plant.all_shut


@pytest.mark.needs("inputs")
def test_a_cut_switch_wire_is_noticed_and_nothing_opens_after_it(stand: Stand) -> None:
    """The closed switch falls silent: the lid counts as not shut, three time-outs latch it, and no OPEN passes any more."""
    stand.open()
    stand.run_until(lambda: stand.lid.motion is Motion.OPEN)
    stand.lid.shut_wire = False
    stand.run(25_000)
    assert stand.phase() is LidPhase.FAULT
    assert {e.value for e in stand.events(EventKind.TIMEOUT)} == {m.TimeoutReason.TRAVEL}
    assert stand.ask(m.StopClear()) == (Code.OK_ACCEPTED, 0)
    opened = stand.openings()
    assert stand.open(2)[0] is Code.BUSY
    stand.run(2000)
    assert stand.openings() == opened


@pytest.mark.needs("inputs")
def test_a_slipping_horn_ends_latched(stand: Stand) -> None:
    """The servo turns but the lid does not: no stall current tells, the travel time does."""
    stand.lid.grip = 0.05
    stand.open()
    stand.run(8000)
    assert stand.motions_of() == []
    assert [e.value for e in stand.events(EventKind.TIMEOUT)] == [m.TimeoutReason.SHUT_SWITCH]
    assert stand.events(EventKind.JAM) == []
    assert stand.phase() is LidPhase.CLOSED  # it backed away to the end at which it had stood all the time
    assert stand.silent()


@pytest.mark.needs("inputs")
def test_noise_on_the_current_is_no_jam(stand: Stand) -> None:
    """250 mA of noise on every reading: an opening and a shutting like any other."""
    for lid in stand.plant.lids:
        lid.noise_ma = 250
    stand.open()
    stand.run(6000)
    assert stand.motions_of() == FULL_CYCLE
    assert [e.kind for e in stand.events()] == [EventKind.OPENED, EventKind.CLOSED]


@pytest.mark.needs("pulses")
def test_a_dead_host_leaves_shut_lids(stand: Stand) -> None:
    """2 s without a frame and an open lid shuts, long before its hold is over; HOST_LOST waits for the next session."""
    stand.open(hold_ms=10_000)
    stand.run_until(lambda: stand.lid.motion is Motion.OPEN)
    silent_ms = stand.now_ms
    stand.run_until(lambda: stand.plant.all_shut, ping=False)
    assert stand.now_ms - silent_ms <= 2000 + 1300
    assert stand.ask(m.Open(1, 5, 1000, 0))[0] is Code.NO_SESSION
    stand.session += 1
    stand.hello()
    stand.run(300)
    assert EventKind.HOST_LOST in [e.kind for e in stand.events()]


def slow_lid(stand: Stand) -> None:
    """Lid 0 takes 4 s from end to end."""
    assert stand.ask(m.SetCal(0, int(OPEN_US), int(CLOSED_US), SLOW, 900)) == (Code.OK_ACCEPTED, 0)


@pytest.mark.needs("virtual")
def test_a_host_dying_mid_opening_turns_the_lid_back(stand: Stand) -> None:
    """The lid does not finish opening for a host that is gone."""
    slow_lid(stand)
    stand.open()
    stand.run_until(lambda: Motion.CLOSED in stand.motions_of(), ping=False)
    assert stand.motions_of() == [Motion.OPENING, Motion.REVERSED, Motion.CLOSED]


@pytest.mark.needs("virtual")
def test_the_dead_man_forgets_what_waits(stand: Stand) -> None:
    """A waiting OPEN of a lost host never begins."""
    slow_lid(stand)
    stand.open(1, lid=0)
    stand.open(2, lid=1, start_within_ms=60_000)
    stand.run(12_000, ping=False)
    assert stand.motions_of(1) == []
    assert stand.plant.all_shut


@pytest.mark.needs("resets")
@pytest.mark.parametrize("cause", [ResetCause.WATCHDOG, ResetCause.EXTERNAL, ResetCause.BROWN_OUT])
def test_a_reset_mid_opening_shuts_and_remembers(stand: Stand, cause: ResetCause) -> None:
    """The controller dies with a lid in mid-air: it homes, knows the action, and does not open again for it."""
    stand.open(action_id=99)
    stand.run(500)
    stand.reset(cause)
    stand.run(30, ping=False)
    assert stand.body.pulse_us(0) is None or (stand.body.pulse_us(0) or 0) >= OPEN_US - 21
    stand.run(4000, ping=False)
    assert stand.plant.all_shut
    ack = stand.hello()
    assert (ack.reset_cause, ack.last_action_id) == (cause, 99)
    assert stand.open(action_id=99) == (Code.DUPLICATE, 0)
    stand.run(1500)
    assert stand.openings() == 1


@pytest.mark.needs("resets")
def test_a_power_on_forgets_actions(stand: Stand) -> None:
    """After a power-on the host decides afresh: the memory is not to be trusted."""
    stand.open(action_id=99)
    stand.run(500)
    stand.reset(ResetCause.POWER_ON)
    stand.settle()
    assert stand.hello().last_action_id == 0


@pytest.mark.needs("resets", "damage")
def test_a_damaged_memory_is_not_trusted(stand: Stand) -> None:
    """Action ids whose CRC does not fit are forgotten."""
    stand.open(action_id=99)
    stand.run(500)
    stand.body.spoil_memory()
    stand.reset(ResetCause.WATCHDOG)
    stand.settle()
    ack = stand.hello()
    assert (ack.reset_cause, ack.last_action_id) == (ResetCause.WATCHDOG, 0)


@pytest.mark.needs("pulses")
def test_stop_halts_and_the_lid_shuts_after_its_hold(stand: Stand) -> None:
    """STOP takes the signal away at once; the hold time still ends the opening."""
    stand.open(1, hold_ms=1500)
    stand.open(2, lid=1, start_within_ms=9000)
    stand.run(500)
    assert stand.ask(m.StopNow()) == (Code.OK_ACCEPTED, 0)
    stand.run(100)
    at_us = stand.lid.at_us
    assert stand.silent()
    stand.run(800)
    assert stand.lid.at_us == at_us
    stand.run(4000)
    assert stand.plant.all_shut
    assert stand.motions_of(1) == []


def test_a_latched_stop_holds_everything_until_cleared(stand: Stand) -> None:
    """STOP_LATCH: no signal, no motion, OPEN and CLOSE refused; clearing moves nothing; CLOSE then does."""
    stand.open(hold_ms=1000)
    stand.run_until(lambda: stand.lid.motion is Motion.OPEN)
    stand.run(100)
    stand.ask(m.StopLatch())
    before = len(stand.plant.moved)
    stand.run(8000)
    assert stand.silent()
    assert stand.open(2, lid=1) == (Code.STOPPED, 0)
    assert stand.ask(m.Close(0, 3)) == (Code.STOPPED, 0)
    assert stand.ask(m.Calibrate(1)) == (Code.STOPPED, 0)
    assert stand.ask(m.StopClear(magic=1)) == (Code.BAD_ARG, 0)
    assert stand.ask(m.StopClear()) == (Code.OK_ACCEPTED, 0)
    stand.run(8000)
    assert len(stand.plant.moved) == before
    assert stand.phase() is LidPhase.HALTED
    assert stand.open(4, lid=0)[0] is Code.BUSY
    stand.ask(m.Close(0, 5))
    stand.run(4000)
    assert stand.plant.all_shut


@pytest.mark.needs("pulses")
def test_the_dead_man_shuts_after_a_cleared_stop(stand: Stand) -> None:
    """A lid left half open by a stop is shut when the host then dies."""
    stand.open()
    stand.run(500)
    stand.ask(m.StopLatch())
    stand.ask(m.StopClear())
    stand.run(6000, ping=False)
    assert stand.plant.all_shut


@pytest.mark.needs("pulses")
def test_a_dead_host_does_not_break_a_latched_stop(stand: Stand) -> None:
    """The stop is stronger than the dead-man: nothing moves."""
    stand.open()
    stand.run(500)
    stand.ask(m.StopLatch())
    stand.run(100)
    before, at_us = len(stand.plant.moved), stand.lid.at_us
    stand.run(10_000, ping=False)
    assert len(stand.plant.moved) == before
    assert stand.lid.at_us == at_us


@pytest.mark.needs("inputs")
def test_the_mushroom_switch_latches(stand: Stand) -> None:
    """Pressed: everything halts, told once; released: still stopped; cleared only when released."""
    stand.open()
    stand.run(500)
    stand.inputs.stop = True
    stand.run(500)
    assert stand.silent()
    assert stand.look().stop == Stop.MUSHROOM | Stop.LATCH
    assert stand.ask(m.StopClear()) == (Code.STOPPED, 0)
    stand.inputs.stop = False
    stand.run(500)
    assert stand.look().stop == Stop.LATCH
    assert stand.open(2, lid=1) == (Code.STOPPED, 0)
    assert stand.ask(m.StopClear()) == (Code.OK_ACCEPTED, 0)
    assert len(stand.events(EventKind.STOP_PRESSED)) == 1
    assert stand.motions_of() == [Motion.OPENING]


def test_close_shuts_early_and_late_ones_are_harmless(stand: Stand) -> None:
    """CLOSE ends the hold; a repeated one is DUPLICATE; on a shut lid it just reports."""
    stand.open(1, hold_ms=10_000)
    stand.run_until(lambda: stand.lid.motion is Motion.OPEN)
    stand.run(50)
    assert stand.ask(m.Close(0, 2)) == (Code.OK_ACCEPTED, 0)
    assert stand.ask(m.Close(0, 2)) == (Code.DUPLICATE, 0)
    stand.run(4000)
    assert stand.motions_of() == FULL_CYCLE
    assert stand.events(EventKind.CLOSED)[0].action_id == 1
    assert stand.ask(m.Close(0, 3)) == (Code.OK_ACCEPTED, 0)
    stand.run(1000)
    assert stand.motions_of() == FULL_CYCLE
    assert stand.events(EventKind.CLOSED)[1].action_id == 3


def test_close_takes_back_a_waiting_open(stand: Stand) -> None:
    """CLOSE on a lid that waits: its OPEN never begins."""
    stand.open(1, lid=0)
    stand.open(2, lid=1, start_within_ms=9000)
    stand.ask(m.Close(1, 3))
    stand.run(6000)
    assert stand.motions_of(1) == []


@pytest.mark.long_on_avr
def test_twenty_opens_a_minute(stand: Stand) -> None:
    """The 21st opening within a minute is refused with the time to wait; after that it works."""
    refused: list[int] = []
    for action in range(1, 23):
        lid = action % 4
        code, retry_ms = stand.open(action, lid, hold_ms=1000, start_within_ms=4000)
        while code is Code.BUSY:
            stand.run(100)
            code, retry_ms = stand.open(action, lid, hold_ms=1000, start_within_ms=4000)
        if code is Code.RATE_LIMIT:
            refused.append(retry_ms)
            break
        stand.wait_for(LidPhase.OPEN, lid)
    assert stand.openings() == 20
    assert 0 < refused[0] <= 60_000
    stand.run(refused[0] + 10)
    assert stand.open(50, 1)[0] is not Code.RATE_LIMIT


@pytest.mark.needs("clock", "fitting")
def test_the_clock_may_wrap(make_body: MakeBody) -> None:
    """32-bit milliseconds run over in the middle of an opening and nothing is lost."""
    stand = shut_stand(make_body(Fitting(now_ms=2**32 - 3500)))
    stand.open()
    stand.run(6000)
    assert stand.look().uptime_ms > 3500
    assert stand.motions_of() == FULL_CYCLE


def test_calibration_jogs_and_ends_shut(stand: Stand) -> None:
    """JOG only while calibrating; other lids may not open meanwhile; at the end what was jogged is shut."""
    assert stand.ask(m.Jog(0, 1500))[0] is Code.BUSY
    assert stand.ask(m.Calibrate(1)) == (Code.OK_ACCEPTED, 0)
    assert stand.look().state == m.ControllerState.CALIBRATING
    assert stand.ask(m.Jog(0, 1200)) == (Code.OK_ACCEPTED, 0)
    stand.run(1000)
    assert stand.look().slots[0].pos_us == 1200
    assert stand.body.pulse_us(0) == pytest.approx(1200, abs=1)
    assert stand.lid.at_us == pytest.approx(1200, abs=6)
    assert stand.open(5, lid=1)[0] is Code.BUSY
    assert stand.ask(m.Close(1, 6))[0] is Code.BUSY
    stand.ask(m.Jog(1, 1100))
    stand.run(100)
    assert stand.body.pulse_us(0) is None
    stand.run(500)
    assert stand.ask(m.Calibrate(0)) == (Code.OK_ACCEPTED, 0)
    stand.run(6000)
    assert stand.plant.all_shut
    assert stand.phase(0) is LidPhase.CLOSED
    assert stand.phase(1) is LidPhase.CLOSED


def calibrating(stand: Stand) -> bool:
    """By JOG, which is BUSY outside of calibration; a jog to where the lid is moves nothing."""
    return stand.look().state == m.ControllerState.CALIBRATING


@pytest.mark.needs("virtual")
@pytest.mark.long_on_avr
def test_forgotten_calibration_ends_by_itself(stand: Stand) -> None:
    """30 s after the last JOG it is over."""
    stand.ask(m.Calibrate(1))
    stand.run(lim.CALIBRATING_MS - 200)
    assert calibrating(stand)
    stand.run(300)
    assert not calibrating(stand)


@pytest.mark.needs("inputs")
def test_a_stalled_jog_ends_calibration(stand: Stand) -> None:
    """Something in the way of a jog: over, and the lid is shut under watch."""
    stand.ask(m.Calibrate(1))
    stand.lid.jam_us = 1200
    stand.ask(m.Jog(0, 1100))
    stand.run(300)
    assert calibrating(stand)
    stand.ask(m.Jog(0, 1500))
    stand.run(1000)
    assert not calibrating(stand)
    assert [(e.lid, e.value) for e in stand.events(EventKind.JAM)] == [(0, None)]
    stand.run(5000)
    assert stand.plant.all_shut


@pytest.mark.needs("pulses")
def test_a_dead_host_ends_calibration(stand: Stand) -> None:
    """Nobody jogs any more: what was jogged is shut."""
    stand.ask(m.Calibrate(1))
    stand.ask(m.Jog(0, 1200))
    stand.run(6000, ping=False)
    assert stand.plant.all_shut
    stand.session += 1
    stand.hello()
    assert not calibrating(stand)
