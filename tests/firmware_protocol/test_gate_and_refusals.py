"""may_open() and every other refusal: what the controller says no to, and that nothing moves then."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from firmware_protocol import limits as lim
from firmware_protocol import messages as m
from firmware_protocol.lid_core import default_calibration
from firmware_protocol.messages import Caps, Code, EventKind, LidPhase, Stop
from firmware_protocol.reference import SIM_CAPS, ReferenceController
from tests.firmware_protocol.bench import Device, connected


def gate(d: Device, patience_ms: int = 0, lid: int = 0) -> Code:
    """What may_open() says now."""
    core = d.controller.core
    return core.may_open(core.lids[lid], patience_ms, d.now_ms)[0]


def test_the_gate_opens_when_all_is_well() -> None:
    """One way leads to OK_ACCEPTED: session, no stop, no fault, supply, shut, rested."""
    assert gate(connected()) is Code.OK_ACCEPTED


def no_host(d: Device) -> None:
    """No session."""
    d.controller.core.host_alive = False


def stopped(d: Device) -> None:
    """Latch alone."""
    d.controller.core.stop = Stop.LATCH


def mushroom(d: Device) -> None:
    """Mushroom alone."""
    d.controller.core.stop = Stop.MUSHROOM


def just_pressed(d: Device) -> None:
    """The switch was pressed a moment ago, after the last tick."""
    d.board.pressed = True


def faulty(d: Device) -> None:
    """Latched fault of this lid."""
    d.controller.core.lids[0].phase = LidPhase.FAULT


def calibrating(d: Device) -> None:
    """Someone's hands are at the lids."""
    d.controller.core.calibrating = True
    d.controller.core.calibrating_ms = d.now_ms


def low_vin(d: Device) -> None:
    """Just below the bound."""
    d.board.vin = lim.VIN_MIN_MV - 1


def low_vservo(d: Device) -> None:
    """Just below the bound."""
    d.board.vservo = lim.VSERVO_MIN_MV - 1


def blind_vin(d: Device) -> None:
    """The sense is fitted but gives nothing."""
    d.board.vin = None


def blind_vservo(d: Device) -> None:
    """The sense is fitted but gives nothing."""
    d.board.vservo = None


def many_opens(d: Device) -> None:
    """Twenty in the last minute."""
    d.controller.core.opens_ms = [d.now_ms] * lim.OPENS_MAX


def other_moves(d: Device) -> None:
    """One lid at a time."""
    d.controller.core.lids[3].phase = LidPhase.CLOSING


def tired(d: Device) -> None:
    """This lid has just moved."""
    d.controller.core.lids[0].moved = True
    d.controller.core.lids[0].ended_ms = d.now_ms


def staggered(d: Device) -> None:
    """Another lid has just stopped."""
    d.controller.core.moved = True
    d.controller.core.ended_ms = d.now_ms


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (no_host, Code.NO_SESSION),
        (stopped, Code.STOPPED),
        (mushroom, Code.STOPPED),
        (just_pressed, Code.STOPPED),
        (faulty, Code.FAULT_LATCHED),
        (calibrating, Code.BUSY),
        (low_vin, Code.LOW_VOLTAGE),
        (low_vservo, Code.LOW_VOLTAGE),
        (blind_vin, Code.LOW_VOLTAGE),
        (blind_vservo, Code.LOW_VOLTAGE),
        (many_opens, Code.RATE_LIMIT),
        (other_moves, Code.BUSY),
        (tired, Code.BUSY),
        (staggered, Code.BUSY),
    ],
)
def test_one_thing_wrong_keeps_it_shut(spoil: Callable[[Device], None], code: Code) -> None:
    """Each condition of may_open() alone refuses, and an OPEN then moves nothing."""
    d = connected()
    spoil(d)
    assert gate(d) is code
    d.ask(m.Open(0, 1, 1000, 0))
    assert d.motions == []
    assert d.controller.opens[1] == 0


@pytest.mark.parametrize("phase", [p for p in LidPhase if p not in (LidPhase.CLOSED, LidPhase.WAITING)])
def test_only_a_shut_lid_opens(phase: LidPhase) -> None:
    """Of all phases only CLOSED (and WAITING, its own turn) pass; what is not known to be shut stays."""
    d = connected()
    d.controller.core.lids[0].phase = phase
    assert gate(d, patience_ms=60_000) in (Code.BUSY, Code.FAULT_LATCHED)


@pytest.mark.parametrize(("spoil", "wait_ms"), [(tired, lim.REST_MS), (staggered, lim.STAGGER_MS)])
def test_patience_is_counted_exactly(spoil: Callable[[Device], None], wait_ms: int) -> None:
    """A wait of exactly the patience is accepted, one ms less is not."""
    d = connected()
    spoil(d)
    assert gate(d, wait_ms) is Code.OK_ACCEPTED
    assert gate(d, wait_ms - 1) is Code.BUSY


def test_supply_bounds_are_inclusive_and_only_where_sensed() -> None:
    """Exactly the least voltage passes; a board without sense is not asked."""
    d = connected()
    d.board.vin, d.board.vservo = lim.VIN_MIN_MV, lim.VSERVO_MIN_MV
    assert gate(d) is Code.OK_ACCEPTED
    blind = connected(caps=SIM_CAPS & ~Caps.SUPPLY_SENSE)
    blind.board.vin = None
    assert gate(blind) is Code.OK_ACCEPTED


def test_the_minute_of_twenty_ends_exactly() -> None:
    """The 21st passes when the first is 60 s old, not before."""
    d = connected()
    d.controller.core.opens_ms = [(d.now_ms - lim.OPENS_WINDOW_MS + 1) % 2**32] + [d.now_ms] * (lim.OPENS_MAX - 1)
    assert gate(d) is Code.RATE_LIMIT
    d.now_ms += 1
    assert gate(d) is Code.OK_ACCEPTED


def test_the_gate_is_asked_again_when_the_motion_begins() -> None:
    """An accepted OPEN whose supply then sags never begins."""
    d = connected()
    d.open(1, lid=0)
    d.open(2, lid=1, start_within_ms=3000)
    d.board.vservo = 3000
    d.run(6000)
    assert d.motions_of(1) == []
    assert [e.action_id for e in d.events(EventKind.TIMEOUT)] == [2]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (m.Open(4, 1, 1000, 0), Code.BAD_ARG),
        (m.Open(255, 1, 1000, 0), Code.BAD_ARG),
        (m.Open(0, 0, 1000, 0), Code.BAD_ARG),
        (m.Close(4, 1), Code.BAD_ARG),
        (m.Close(0, 0), Code.BAD_ARG),
        (m.StopClear(0), Code.BAD_ARG),
        (m.Jog(4, 1500), Code.BAD_ARG),
        (m.Jog(0, 499), Code.BAD_ARG),
        (m.Jog(0, 2501), Code.BAD_ARG),
        (m.Jog(0, 1500), Code.BUSY),
        (m.Calibrate(2), Code.BAD_ARG),
        (m.SetCal(4, 2000, 1000, 20, 900), Code.BAD_ARG),
        (m.SetCal(0, 2501, 1000, 20, 900), Code.BAD_ARG),
        (m.SetCal(0, 2000, 499, 20, 900), Code.BAD_ARG),
        (m.SetCal(0, 1099, 1000, 20, 900), Code.BAD_ARG),
        (m.SetCal(0, 2000, 1000, 0, 900), Code.BAD_ARG),
        (m.SetCal(0, 2000, 1000, 20, 5001), Code.BAD_ARG),
        (m.GetCal(4), Code.BAD_ARG),
        (m.SetTelemetry(49), Code.BAD_ARG),
        (m.SetTelemetry(10_001), Code.BAD_ARG),
        (m.Indicate(6, 100), Code.BAD_ARG),
        (m.Reboot(1), Code.BAD_ARG),
        (m.EnterBootloader(), Code.UNSUPPORTED),
    ],
)
def test_bad_arguments_are_named_and_move_nothing(command: m.Command, code: Code) -> None:
    """Each command with a value out of bounds gets its code, and neither a lid nor the board notices."""
    d = connected()
    d.board.pulses.clear()
    assert d.ask(command)[0] is code
    d.run(500)
    assert d.board.pulses == []
    assert d.board.shown == []
    assert d.board.restarts == []


def test_good_arguments_do_what_they_say() -> None:
    """Calibration is stored and read back, INDICATE reaches the board, telemetry changes, REBOOT restarts after its answer."""
    d = connected()
    assert d.ask(m.SetCal(2, 1900, 1100, 10, 700)) == (Code.OK_ACCEPTED, 0)
    assert d.board.lids[2].cal == m.Calibration(2, 1900, 1100, 10, 700)
    assert [e.lid for e in d.events(EventKind.CAL_SAVED)] == [2]
    assert d.ask(m.GetCal(2)) == (Code.OK_ACCEPTED, 0)
    d.ask_raw(m.GetCal(2), d.seq)
    found = [x.message for x in d.frames if isinstance(x.message, m.Calibration)]
    assert found == [m.Calibration(2, 1900, 1100, 10, 700)] * 2  # the repeat gets the whole answer again
    assert d.ask(m.Indicate(m.Pattern.WAIT, 700)) == (Code.OK_ACCEPTED, 0)
    assert d.board.shown == [(m.Pattern.WAIT, 700)]
    assert d.ask(m.SetTelemetry(0)) == (Code.OK_ACCEPTED, 0)
    d.frames.clear()
    d.run(2000)
    assert not [x for x in d.frames if isinstance(x.message, m.Telemetry)]
    assert d.ask(m.Reboot()) == (Code.OK_ACCEPTED, 0)
    assert d.board.restarts == [False]


def test_calibration_outlives_a_reset() -> None:
    """A stored calibration is loaded at the next start."""
    d = connected()
    d.ask(m.SetCal(1, 1900, 1100, 10, 700))
    d.controller.reset(m.ResetCause.POWER_ON, d.now_ms)
    assert d.controller.core.lids[1].cal.open_us == 1900


@pytest.mark.parametrize("bad", [m.Calibration(0, 2000, 1000, 0, 900), m.Calibration(0, 65535, 1000, 20, 900)])
def test_a_damaged_calibration_is_not_used(bad: m.Calibration) -> None:
    """What the memory gives back is judged like what a host sends."""
    d = connected()
    d.board.lids[0].cal = bad
    d.controller.reset(m.ResetCause.POWER_ON, d.now_ms)
    assert d.controller.core.lids[0].cal == default_calibration(0)


def test_calibration_of_a_moving_lid_is_refused() -> None:
    """The pulses of a lid under way do not change under it; its neighbour's may."""
    d = connected()
    d.open()
    assert d.ask(m.SetCal(0, 1900, 1100, 10, 700))[0] is Code.BUSY
    assert d.ask(m.SetCal(1, 1900, 1100, 10, 700))[0] is Code.OK_ACCEPTED
    assert d.ask(m.Calibrate(1))[0] is Code.BUSY


def test_jog_needs_supply() -> None:
    """A sagging supply refuses JOG as it refuses OPEN."""
    d = connected()
    d.ask(m.Calibrate(1))
    d.board.vservo = 3000
    assert d.ask(m.Jog(0, 1200)) == (Code.LOW_VOLTAGE, 0)


def test_the_bootloader_only_with_all_lids_shut() -> None:
    """With the capability: BUSY while a lid is open, else the board is told."""
    d = connected(caps=SIM_CAPS | Caps.BOOTLOADER)
    assert d.ask(m.EnterBootloader(5))[0] is Code.BAD_ARG
    d.open()
    d.run(200)
    assert d.ask(m.EnterBootloader())[0] is Code.BUSY
    d.run(6000)
    assert d.ask(m.EnterBootloader()) == (Code.OK_ACCEPTED, 0)
    assert d.board.restarts == [True]


def test_a_board_without_lamp_says_so() -> None:
    """INDICATE without the capability is UNSUPPORTED."""
    assert connected(caps=SIM_CAPS & ~Caps.INDICATOR).ask(m.Indicate(1, 1))[0] is Code.UNSUPPORTED


def test_the_same_action_twice() -> None:
    """Same id: DUPLICATE while it waits, while it moves and afterwards; TOO_OLD once another has followed."""
    d = connected()
    d.open(1, lid=0)
    assert d.open(1, lid=0)[0] is Code.DUPLICATE
    assert d.open(1, lid=2)[0] is Code.DUPLICATE
    d.open(2, lid=1, start_within_ms=9000)
    assert d.open(2, lid=3)[0] is Code.DUPLICATE
    assert d.open(3, lid=1)[0] is Code.BUSY  # the lid waits already
    d.run(8000)
    assert d.open(2, lid=2)[0] is Code.DUPLICATE
    assert d.open(1, lid=2)[0] is Code.TOO_OLD
    assert dict(d.controller.opens) == {1: 1, 2: 1}


def test_sixteen_lids_and_no_more() -> None:
    """Large bins tell of all their lids; the number of lids has bounds."""
    d = connected(lids=6)
    d.run(600)
    more = [x.message for x in d.frames if isinstance(x.message, m.TelemetryMore)]
    assert more[-1].first_lid == 4
    assert [slot.state for slot in more[-1].slots] == [LidPhase.CLOSED] * 2 + [LidPhase.ABSENT] * 2
    d.board.caught = 0b100001
    d.run(600)
    assert [x.message.pinch for x in d.frames if isinstance(x.message, m.TelemetryMore)][-1] == 0b10
    assert [x.message.pinch for x in d.frames if isinstance(x.message, m.Telemetry)][-1] == 0b01
    assert d.open(1, lid=5) == (Code.OK_ACCEPTED, 0)
    for lids in (0, 17):
        with pytest.raises(ValueError, match="1 to 16"):
            ReferenceController(d.board, lids=lids)


def test_few_lids_leave_slots_absent() -> None:
    """A bin with two lids says ABSENT for the rest and refuses lid 2."""
    d = connected(lids=2)
    d.run(600)
    telemetry = [x.message for x in d.frames if isinstance(x.message, m.Telemetry)][-1]
    assert telemetry.slots[2:] == (m.ABSENT, m.ABSENT)
    assert d.open(1, lid=2)[0] is Code.BAD_ARG


def test_telemetry_tells_states_and_rates() -> None:
    """2 Hz idle, 10 Hz moving; the state names what asks for a person first."""
    d = connected()
    d.run(2000)
    assert 3 <= len([x for x in d.frames if isinstance(x.message, m.Telemetry)]) <= 5
    d.frames.clear()
    d.open()
    d.run(1000)
    told = [x.message for x in d.frames if isinstance(x.message, m.Telemetry)]
    assert 9 <= len(told) <= 11
    assert {x.state for x in told} == {m.ControllerState.MOVING}
    assert told[-1].slots[0].fill_mm == 400
    assert told[-1].slots[1].fill_mm is None
    d.ask(m.StopLatch())
    assert d.controller.state == m.ControllerState.STOPPED


def test_the_state_of_the_whole() -> None:
    """Each controller state appears where SPEC.md says, the gravest first."""
    d = connected()
    core = d.controller.core
    found = [d.controller.state]
    core.lids[1].phase = LidPhase.HOMING
    found.append(d.controller.state)
    core.calibrating = True
    found.append(d.controller.state)
    core.host_alive = False
    found.append(d.controller.state)
    core.lids[2].phase = LidPhase.FAULT
    found.append(d.controller.state)
    assert [x.name for x in found] == ["IDLE", "HOMING", "CALIBRATING", "NO_HOST", "FAULT"]
