"""A shut switch that does not let go: it never makes a lid that stands open count as shut, and never ruins a sound lid's day."""

from __future__ import annotations

import pytest

from firmware_protocol import limits as lim
from firmware_protocol import messages as m
from firmware_protocol.hal import Motion
from firmware_protocol.messages import Code, EventKind, LidPhase, Limits, ResetCause, TimeoutReason
from tests.firmware_protocol.bodies.body import Inputs
from tests.firmware_protocol.bodies.stand import FULL_CYCLE, Stand
from tests.firmware_protocol.plant import CLOSED_US, SWITCH_US

SHUT_US = CLOSED_US + SWITCH_US
SLEW_US_PER_S = 1200
"""Of the pulse, and a fifth for the lid's inertia; a servo let go for its target does 4000."""
RESTS = {LidPhase.CLOSED, LidPhase.FAULT}


def run_and_look(stand: Stand, ms: float, *, ping: bool = True) -> None:
    """Let time pass; whenever the lid rests without a signal by its own account, it is shut."""
    end_ms = stand.now_ms + ms
    while stand.now_ms < end_ms:
        stand.run(20, ping=ping)
        if ping and stand.last_phase() in RESTS and stand.body.pulse_us(0) is None:
            assert stand.lid.at_us <= SHUT_US
    assert stand.plant.all_shut
    assert stand.silent()


def reasons(stand: Stand) -> list[int | None]:
    """Of the lid's TIMEOUTs."""
    return [x.value for x in stand.events(EventKind.TIMEOUT)]


@pytest.mark.needs("inputs")
def test_a_stuck_shut_switch_is_found_by_the_first_opening(stand: Stand) -> None:
    """Open by one switch and shut by the other: the lid is shut by its pulse, told of and latched; no OPEN passes any more."""
    stand.lid.shut_stuck = True
    assert stand.open(1) == (Code.OK_ACCEPTED, 0)
    run_and_look(stand, 6000)
    assert reasons(stand) == [TimeoutReason.SHUT_SWITCH]
    assert [x.kind for x in stand.events()] == [EventKind.TIMEOUT, EventKind.CLOSED]
    assert stand.motions_of() == FULL_CYCLE
    assert stand.phase() is LidPhase.FAULT
    assert stand.open(2) == (Code.FAULT_LATCHED, 0)
    assert stand.open(3, lid=1) == (Code.OK_ACCEPTED, 0)  # the others go on
    stand.run(5000)
    assert stand.motions_of(1) == FULL_CYCLE


@pytest.mark.needs("inputs")
@pytest.mark.long_on_avr
def test_a_stuck_lid_that_is_cleared_stays_shut_and_works_once_mended(stand: Stand) -> None:
    """STOP_CLEAR moves nothing, CLOSE finds it shut, and a switch that lets go again is believed again."""
    stand.lid.shut_stuck = True
    stand.open(1)
    stand.run(6000)
    assert stand.ask(m.StopClear()) == (Code.OK_ACCEPTED, 0)
    assert stand.ask(m.Close(0, 9)) == (Code.OK_ACCEPTED, 0)
    run_and_look(stand, 2000)
    assert stand.phase() is LidPhase.CLOSED
    assert stand.motions_of() == FULL_CYCLE
    stand.lid.shut_stuck = False
    assert stand.open(2) == (Code.OK_ACCEPTED, 0)
    run_and_look(stand, 5000)
    assert stand.motions_of() == FULL_CYCLE * 2
    assert stand.phase() is LidPhase.CLOSED


@pytest.mark.needs("inputs")
def test_a_shut_switch_that_sticks_while_the_lid_stands_open(stand: Stand) -> None:
    """The lid shuts by its pulse as if nothing had been; the next opening finds the switch."""
    stand.open(1)
    stand.run_until(lambda: stand.lid.motion is Motion.OPEN)
    stand.lid.shut_stuck = True
    run_and_look(stand, 5000)
    assert stand.motions_of() == FULL_CYCLE
    assert [x.kind for x in stand.events()] == [EventKind.OPENED, EventKind.CLOSED]
    assert stand.phase() is LidPhase.CLOSED
    stand.open(2)
    run_and_look(stand, 6000)
    assert stand.phase() is LidPhase.FAULT


@pytest.mark.needs("inputs")
@pytest.mark.long_on_avr
def test_a_stuck_shut_switch_and_no_open_switch(stand: Stand) -> None:
    """Nothing proves where the lid is: each OPEN ends shut all the same, and the third one latches."""
    stand.lid.shut_stuck, stand.lid.open_wire = True, False
    for action in (1, 2, 3):
        assert stand.open(action) == (Code.OK_ACCEPTED, 0)
        run_and_look(stand, 6000)
    assert reasons(stand) == [TimeoutReason.SHUT_SWITCH] * 3
    assert stand.phase() is LidPhase.FAULT


@pytest.mark.needs("inputs")
@pytest.mark.long_on_avr
def test_a_host_that_dies_behind_a_stuck_switch_leaves_a_shut_lid(stand: Stand) -> None:
    """In the middle of an opening: the dead-man shuts it by its pulse."""
    stand.lid.shut_stuck = True
    stand.open(1)
    stand.run(600)
    run_and_look(stand, lim.HOST_SILENCE_MS + 4000, ping=False)


@pytest.mark.needs("no_time")
def test_a_lid_halted_behind_a_stuck_switch_is_not_thrown_down(stand: Stand) -> None:
    """Half way open, STOP, CLOSE: from where it was halted, no faster than the slew limit."""
    stand.lid.shut_stuck = True
    stand.open(1)
    stand.run(500)
    stand.ask(m.StopNow())
    stand.run(300)
    assert stand.lid.at_us > SHUT_US + 200
    assert stand.ask(m.Close(0, 9)) == (Code.OK_ACCEPTED, 0)
    fastest = 0.0
    for _ in range(3000):
        stand.run(1, step_ms=1)
        fastest = min(fastest, stand.lid.speed)
    assert -fastest <= SLEW_US_PER_S
    assert stand.plant.all_shut
    assert stand.phase() is LidPhase.CLOSED


@pytest.mark.needs("inputs")
@pytest.mark.long_on_avr
@pytest.mark.parametrize("later", [False, True])
def test_a_lid_jogged_open_behind_a_stuck_switch_is_shut(stand: Stand, later: bool) -> None:  # noqa: FBT001
    """Calibration ends: homing does not take the switch's word, at once or long after the jog."""
    stand.lid.shut_stuck = True
    assert stand.ask(m.Calibrate(1)) == (Code.OK_ACCEPTED, 0)
    stand.ask(m.Jog(0, 1100))
    stand.run(300)
    stand.ask(m.Jog(0, 1600))
    stand.run(1000)
    if later:
        stand.ask(m.Jog(1, 1100))
        stand.run(2000)
    stand.ask(m.Calibrate(0))
    run_and_look(stand, 6000)
    assert stand.phase() is LidPhase.CLOSED


@pytest.mark.needs("inputs")
def test_a_shut_switch_that_lets_go_late_is_no_fault(stand: Stand) -> None:
    """A heavy lid on a switch with play: pressed until two thirds of the way, and the lid opens and shuts as ever."""

    def late(inputs: Inputs) -> None:
        open_too = Limits.OPEN if stand.lid.on_open else Limits(0)
        inputs.lids[0].limits = int(
            (Limits.CLOSED if stand.lid.at_us < 1667 and stand.lid.speed >= 0 else 0) | open_too
        )
        if stand.lid.on_closed:
            inputs.lids[0].limits = int(Limits.CLOSED)

    stand.sensors = late
    for action in (1, 2, 3, 4):
        assert stand.open(action, hold_ms=1000) == (Code.OK_ACCEPTED, 0)
        stand.run(4500)
        assert stand.motions_of() == FULL_CYCLE * action
    assert [x.kind for x in stand.events()] == [EventKind.OPENED, EventKind.CLOSED] * 4


@pytest.mark.needs("inputs")
@pytest.mark.long_on_avr
def test_a_hand_on_a_sound_lid_is_no_broken_switch(stand: Stand) -> None:
    """Somebody holds it shut: the jam current says so, it goes back, and works as soon as the hand is gone."""
    stand.lid.jam_us = CLOSED_US + 10
    for action in (1, 2):
        assert stand.open(action) == (Code.OK_ACCEPTED, 0)
        run_and_look(stand, 4000)
    assert [x.kind for x in stand.events()] == [EventKind.JAM, EventKind.CLOSED] * 2
    stand.lid.jam_us = None
    assert stand.open(3) == (Code.OK_ACCEPTED, 0)
    run_and_look(stand, 5000)
    assert stand.motions_of()[-4:] == FULL_CYCLE


@pytest.mark.needs("inputs")
@pytest.mark.long_on_avr
def test_a_lid_that_backed_away_open_behind_a_stuck_switch(stand: Stand) -> None:
    """The switch sticks and something is caught: it backs away, cannot say that it is open, and ends shut and latched."""
    stand.open(1)
    stand.run_until(lambda: stand.lid.motion is Motion.OPEN)
    stand.lid.shut_stuck = True
    stand.lid.finger_us = 1300
    stand.run_until(lambda: stand.events(EventKind.PINCH_REVERSED) != [])
    stand.lid.finger_us = None
    run_and_look(stand, 12_000)
    assert TimeoutReason.SHUT_SWITCH in reasons(stand)
    assert stand.phase() is LidPhase.FAULT


@pytest.mark.needs("inputs", "resets")
@pytest.mark.parametrize("cause", [ResetCause.POWER_ON, ResetCause.EXTERNAL])
def test_a_lid_that_runs_on_through_a_reset_is_shut(stand: Stand, cause: ResetCause) -> None:
    """Reset on its shut switch with the lid under way: it leaves the switch without a signal, and is homed, not left ajar."""
    stand.open(1)
    stand.run_until(lambda: stand.lid.speed > 0)
    stand.reset(cause)
    stand.lid.at_us, stand.lid.speed = CLOSED_US + 5, 0.0
    stand.settle()
    begin_ms = stand.now_ms
    stand.lid.at_us, stand.lid.pulse_us = CLOSED_US + 60, None
    stand.run(8000, ping=False)
    assert stand.plant.all_shut
    assert [x for x in stand.pulses(0, begin_ms) if x.pulse_us is not None] != []
    stand.hello()
    assert stand.phase() is LidPhase.CLOSED


@pytest.mark.needs("no_time", "resets")
def test_a_lid_lifted_long_after_a_reset_is_left_to_its_hand(stand: Stand) -> None:
    """Only the first second counts: afterwards a lid off its switch was lifted, and is given no signal."""
    stand.reset(ResetCause.EXTERNAL)
    stand.settle()
    stand.run(lim.RAN_ON_MS, ping=False)
    stand.lid.at_us = 1400
    begin_ms = stand.now_ms
    stand.run(3000, ping=False)
    assert stand.no_signal(begin_ms)
    assert stand.lid.at_us == pytest.approx(1400)


@pytest.mark.needs("inputs")
@pytest.mark.long_on_avr
def test_an_open_switch_that_sticks_makes_no_shut_lid_open(stand: Stand) -> None:
    """A lid on both its switches is not known to be shut: no OPEN is accepted."""
    stand.lid.open_stuck = True
    stand.run(1500)
    assert stand.open(1)[0] is Code.BUSY
    stand.run(1500)
    assert stand.openings() == 0
