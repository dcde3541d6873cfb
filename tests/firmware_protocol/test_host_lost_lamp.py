"""When nobody judges items any more, the controller tells the person at the bin by itself."""

from __future__ import annotations

import pytest

from firmware_protocol import messages as m
from firmware_protocol.messages import Caps, Pattern
from firmware_protocol.reference import SIM_CAPS
from tests.firmware_protocol.bodies.body import Fitting
from tests.firmware_protocol.bodies.stand import Stand, shut_stand
from tests.firmware_protocol.conftest import MakeBody

SILENCE_MS = 2000
RED, BUZZER = 4, 8


@pytest.mark.needs("shown")
def test_a_lost_host_shows_fault_until_the_next_hello(stand: Stand) -> None:
    """FAULT without end, whatever showed before, and not before the silence counts; the next HELLO darkens it, once."""
    assert stand.ask(m.Indicate(Pattern.ACCEPTED, 60_000))[0] is m.Code.OK_ACCEPTED
    shown = stand.body.seen.shown
    stand.run(SILENCE_MS - 50, ping=False)
    assert shown == [(Pattern.ACCEPTED, 60_000)]
    stand.run(10_000, ping=False)
    assert shown[1:] == [(Pattern.FAULT, 0)]
    stand.session += 1
    stand.hello()
    stand.hello()
    assert shown[2:] == [(Pattern.OFF, 0)]
    stand.run(1000)
    assert len(shown) == 3


@pytest.mark.needs("shown", "fitting")
def test_a_board_without_lamp_is_left_alone(make_body: MakeBody) -> None:
    """No INDICATOR, no call."""
    stand = shut_stand(make_body(Fitting(caps=SIM_CAPS & ~Caps.INDICATOR)))
    stand.run(SILENCE_MS + 500, ping=False)
    stand.session += 1
    stand.hello()
    assert stand.body.seen.shown == []


@pytest.mark.needs("pins")
def test_the_board_shows_it_by_its_pins(stand: Stand) -> None:
    """Red flickers on for as long as there is no host, after one sound; then all is dark."""
    lamps = stand.body.seen.lamps
    lamps.clear()
    stand.run(SILENCE_MS + 3000, ping=False)
    lit = [level for _, level in lamps]
    assert any(level & RED for level in lit)
    assert not any(level & ~(RED | BUZZER) for level in lit)
    late = [level for t_ms, level in lamps if t_ms > lamps[0][0] + 1500]
    assert any(level & RED for level in late)
    assert not any(level & BUZZER for level in late)
    stand.session += 1
    stand.hello()
    stand.run(20)
    assert lamps[-1][1] == 0
