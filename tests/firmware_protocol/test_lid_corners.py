"""Rare turns of the lids and the line: jogs far from home, a lid that jammed before, a clock that runs over."""

from __future__ import annotations

import pytest

from firmware_protocol import limits as lim
from firmware_protocol import messages as m
from firmware_protocol.messages import Code, EventKind, LidPhase, ResetCause
from tests.firmware_protocol.bench import connected
from tests.firmware_protocol.bodies.body import Fitting
from tests.firmware_protocol.bodies.stand import Stand
from tests.firmware_protocol.conftest import MakeBody
from tests.firmware_protocol.plant import CLOSED_US, OPEN_US

SPEED_US = 20
"""Of the default calibration, each 20 ms."""
SLEW_US_PER_S = 1200
"""Of the pulse, and a fifth for the lid's inertia; a servo let go for its target does 4000."""
pytestmark = pytest.mark.needs("no_time")


def opened_and_shut(stand: Stand, action_id: int) -> None:
    """One clean cycle: from here on the controller knows which pulse it sent last."""
    stand.open(action_id, hold_ms=1000)
    stand.run(5000)
    assert stand.phase() is LidPhase.CLOSED


def calibrating(stand: Stand) -> None:
    """Calibration is on."""
    assert stand.ask(m.Calibrate(1)) == (Code.OK_ACCEPTED, 0)


def test_the_first_pulse_of_all_is_where_the_technician_says(stand: Stand) -> None:
    """No pulse since the reset: nobody knows where the servo stands, so a jog begins at its target."""
    calibrating(stand)
    stand.ask(m.Jog(0, 1100))
    assert stand.body.pulse_us(0) == 1100


def test_a_jog_begins_where_the_servo_stands(stand: Stand) -> None:
    """A lid whose last pulse is known never jumps, however far the jog goes."""
    opened_and_shut(stand, 1)
    calibrating(stand)
    since_ms = stand.now_ms
    stand.ask(m.Jog(0, 1900))
    stand.run(1500)
    ways = [x.pulse_us for x in stand.pulses(0, since_ms)]
    assert ways[0] == 1000
    assert ways[-1] == 1900
    assert stand.largest_step_us(0) <= SPEED_US


def test_a_jog_stands_still_while_the_current_is_high(stand: Stand) -> None:
    """As any other motion: the pulse must not run ahead of what holds the lid, not even before it counts as a stall."""
    opened_and_shut(stand, 1)
    calibrating(stand)
    stand.ask(m.Jog(0, 1900))
    stand.run(400)
    strong = 0

    def held(_: object) -> None:
        stand.inputs.lids[0].current_ma = strong or 100

    stand.sensors = held
    strong = 1500
    stand.run(20)
    before_us = stand.body.pulse_us(0)
    stand.run(40)
    assert stand.body.pulse_us(0) == before_us
    strong = 0
    stand.run(40)
    assert stand.body.pulse_us(0) != before_us
    assert stand.events(EventKind.JAM) == []


def test_a_lid_jogged_beyond_its_ends_has_time_to_come_home(make_body: MakeBody) -> None:
    """Calibrated to a short way at the slowest speed, jogged far beyond: homing takes its time and is no jam."""
    body = make_body()
    body.damage_calibration(m.Calibration(0, 1100, 1000, 4, 900))  # 0.5 s from end to end
    stand = Stand(body)
    stand.run(60, ping=False)
    stand.hello()
    calibrating(stand)
    stand.ask(m.Jog(0, round(OPEN_US)))
    stand.run(1000)
    stand.ask(m.Calibrate(0))
    stand.run(8000)
    assert stand.phase() is LidPhase.CLOSED
    assert [e.kind for e in stand.events()] == [EventKind.CLOSED]


def jammed_once_then_open(stand: Stand) -> None:
    """Lid 0 backed away from a jam, has shut again, and now stands open by an OPEN of 10 s."""
    stand.lid.jam_us = 1500
    stand.open(1)
    stand.run_until(lambda: stand.events(EventKind.JAM) != [])
    stand.lid.jam_us = None
    stand.run(4000)
    assert stand.phase() is LidPhase.CLOSED
    assert stand.open(2, hold_ms=10_000) == (Code.OK_ACCEPTED, 0)
    stand.wait_for(LidPhase.OPEN)


def test_close_need_not_wait_because_of_an_earlier_jam(stand: Stand) -> None:
    """Only a lid that has just backed away makes a CLOSE wait; one that opened well shuts after its rest."""
    jammed_once_then_open(stand)
    asked_ms = stand.now_ms
    stand.ask(m.Close(0, 3))
    stand.wait_for(LidPhase.CLOSING)
    assert stand.now_ms - asked_ms <= lim.REST_MS + 100


def test_the_dead_man_need_not_wait_because_of_an_earlier_jam(stand: Stand) -> None:
    """Without a host that lid is shut within 2 s and its travel, not after its hold time."""
    jammed_once_then_open(stand)
    stand.run(lim.HOST_SILENCE_MS + 2500, ping=False)
    assert stand.plant.all_shut


@pytest.mark.parametrize("to_wrap_ms", [1, 300, 2600])
def test_a_clock_that_runs_over_is_no_silence(make_body: MakeBody, to_wrap_ms: int) -> None:
    """After 49 days nothing jumps: answers go on without a new delimiter, lids move, rests are kept."""
    stand = Stand(make_body(Fitting(caps=m.Caps(0), now_ms=lim.TICKS - to_wrap_ms)), fresh=False)
    stand.body.reset(ResetCause.POWER_ON)
    stand.exchange(5)
    said = stand.exchange(0, stand.frame(m.Hello(1, 0, 100)))
    assert said[0] != 0  # BOOT was a moment ago
    stand.open(1, hold_ms=1000)
    stand.run(1000)
    assert stand.exchange(0, stand.frame(m.Ping(1, 0)))[0] != 0
    stand.run(5000)
    assert stand.phase() is LidPhase.CLOSED
    assert [e.kind for e in stand.events()] == [EventKind.OPENED, EventKind.CLOSED]


def test_after_49_days_old_openings_count_no_more() -> None:
    """The wrapped clock would make them young again: they are forgotten when their minute is over."""
    d = connected()
    d.controller.core.opens_ms = [d.now_ms] * lim.OPENS_MAX
    d.controller.core.lids[0].moved = d.controller.core.moved = True
    d.controller.core.lids[0].ended_ms = d.controller.core.ended_ms = d.now_ms
    assert d.open(1)[0] is Code.RATE_LIMIT
    for _ in range(lim.OPENS_MAX):
        d.run(4000)
    d.now_ms += lim.TICKS - 80_000
    d.session += 1
    d.hello()
    assert d.open(2) == (Code.OK_ACCEPTED, 0)


def test_a_lid_that_somebody_holds_up_does_not_open(stand: Stand) -> None:
    """Its first pulse would be that of the shut lid and throw it down on the hand; laid down, it opens as ever."""
    stand.lid.at_us = 1400
    stand.run(50)
    assert stand.open(1)[0] is Code.BUSY
    stand.run(2000)
    assert stand.silent()
    stand.lid.at_us = 1000
    stand.run(50)
    assert stand.open(2) == (Code.OK_ACCEPTED, 0)


def test_a_lid_that_is_lifted_while_it_waits_does_not_open(stand: Stand) -> None:
    """The gate is asked again in the moment the motion would begin."""
    stand.open(1, lid=1, hold_ms=1000)
    assert stand.open(2, lid=0, start_within_ms=4000) == (Code.OK_ACCEPTED, 0)
    stand.lid.at_us = 1400
    stand.run(6000)
    assert [(e.action_id, e.value) for e in stand.events(EventKind.TIMEOUT)] == [(2, m.TimeoutReason.NOT_STARTED)]
    assert stand.pulses(0)[-1].pulse_us is None


def test_clearing_does_not_call_off_homing(stand: Stand) -> None:
    """A lid that waits to be homed, and that no stop has halted, is shut all the same."""
    calibrating(stand)
    stand.ask(m.Jog(0, 1900))
    stand.run(1500)
    stand.ask(m.Calibrate(0))
    assert stand.phase() is LidPhase.UNKNOWN
    assert stand.ask(m.StopClear()) == (Code.OK_ACCEPTED, 0)
    stand.run(6000)
    assert stand.plant.all_shut


def test_a_stopped_jog_ends_shut_whatever_was_cleared_before(stand: Stand) -> None:
    """STOP leaves a lid where it is for 2 s, also one that was jogged after a cleared stop had made it stay."""
    stand.open()
    stand.run(700)
    stand.ask(m.StopLatch())
    stand.ask(m.StopClear())
    calibrating(stand)
    stand.ask(m.Jog(0, 1500))
    stand.run(300)
    stand.ask(m.StopNow())
    stand.run(6000)
    assert stand.plant.all_shut


def test_what_comes_behind_a_restart_is_not_begun(stand: Stand) -> None:
    """A host that does not wait for its answers: no lid is on its way when the board goes."""
    behind = stand.frame(m.Reboot(), 1) + stand.frame(m.Open(0, 1, 1000, 0), 2)
    frames = stand.step(0, behind)
    assert [x.seq for x in frames if isinstance(x.message, m.Result)] == [1]
    assert stand.phase() is LidPhase.CLOSED
    assert stand.openings() == 0


def test_a_lid_lifted_while_halted_is_not_thrown_down(stand: Stand) -> None:
    """Halted half way, lifted by hand, CLOSE: it falls no faster than the slew limit, from the open end."""
    stand.open()
    stand.run(400)
    stand.ask(m.StopNow())
    stand.lid.at_us = 1900.0
    stand.run(100)
    assert stand.ask(m.Close(0, 9)) == (Code.OK_ACCEPTED, 0)
    fastest = 0.0
    for _ in range(4000):
        stand.run(1, step_ms=1)
        fastest = min(fastest, stand.lid.speed)
    assert -fastest <= SLEW_US_PER_S
    assert stand.plant.all_shut


def test_a_lid_jogged_long_ago_is_not_thrown_down(stand: Stand) -> None:
    """Jogged, left for another lid's jog, lifted by hand: homing begins at the open end."""
    calibrating(stand)
    stand.ask(m.Jog(0, 1300))
    stand.run(500)
    stand.ask(m.Jog(1, 1100))
    stand.lid.at_us = 1900.0
    stand.run(2000)
    stand.ask(m.Calibrate(0))
    fastest = 0.0
    for _ in range(5000):
        stand.run(1, step_ms=1)
        fastest = min(fastest, stand.lid.speed)
    assert -fastest <= SLEW_US_PER_S
    assert stand.plant.all_shut


def test_a_halted_lid_that_was_pushed_shut_stays_shut(stand: Stand) -> None:
    """On its closed switch a lid is shut: CLOSE does not throw it open first."""
    stand.open()
    stand.run(400)
    stand.ask(m.StopNow())
    stand.run(200)
    stand.lid.at_us = CLOSED_US
    stand.run(100)
    stand.ask(m.Close(0, 9))
    stand.run(1500)
    assert stand.phase() is LidPhase.CLOSED
    assert stand.openings() == 1
