"""The gate and the controller's state from the inside, each condition set by itself to the millisecond.

On the reference controller alone: no other body lets its state be set. The differential test and the C core's own mutants hold
the C core to the same.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from firmware_protocol import limits as lim
from firmware_protocol import messages as m
from firmware_protocol.messages import Caps, Code, LidPhase, Stop
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


def test_the_number_of_lids_has_bounds() -> None:
    """1 to 16."""
    for lids in (0, 17):
        with pytest.raises(ValueError, match="1 to 16"):
            ReferenceController(connected().board, lids=lids)


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
