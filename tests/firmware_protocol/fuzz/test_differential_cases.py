"""What the differential test once found, by name; and what random stories are too short for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from firmware_protocol import messages as m
from firmware_protocol.framing import encode
from firmware_protocol.limits import TICKS
from firmware_protocol.messages import Frame
from tests.firmware_protocol.fuzz.scripts import Boot, Count, LidIn, Op, Reset, Rx, Script, Tick
from tests.firmware_protocol.fuzz.twins import CoreEnd, difference

SESSION = 7
CLOSED = LidIn(0, int(m.Limits.CLOSED))
AJAR = LidIn(0, 0)


def hello(telemetry_ms: int = 0) -> Op:
    """Open the session."""
    return Rx(encode(Frame(SESSION, 0, m.Hello(1, 0, telemetry_ms)).to_body()))


def commands(*wanted: m.Command, seq: int = 1) -> Iterator[Op]:
    """One after the other."""
    for n, command in enumerate(wanted):
        yield Rx(encode(Frame(SESSION, seq + n, command).to_body()))


CASES: dict[str, Script] = {
    # The reference raised: a controller that slept for 70 s reports more silence than an event holds.
    "HOST_LOST after a long sleep": [Boot(1), hello(), Tick(70_000), hello(), Tick(10)],
    # The reference put one more delimiter before a frame whose forerunner was sent before the clock wrapped.
    "the clock wraps between two frames": [Boot(1, now_ms=TICKS - 1), Tick(1), *commands(m.StopNow())],
    "the clock wraps after a silence": [Boot(1, now_ms=TICKS - 500), Tick(1500), *commands(m.StopNow())],
    # The reference let the first JOG jump to its pulse from a place that is known.
    "a jog begins where the lid stands": [
        Boot(1),
        hello(),
        *commands(m.Open(0, 5, 1000, 0), m.StopNow(), m.Close(0, 6)),
        Tick(1500),
        CLOSED,
        Tick(20),
        *commands(m.Calibrate(1), m.Jog(0, 1700), seq=4),
        *[Tick(20)] * 50,
    ],
    # A time that is long over must not become young again when the clock has gone round.
    "rest, 49 days on": [
        Boot(1),
        AJAR,
        Reset(int(m.ResetCause.EXTERNAL)),
        Tick(20),
        CLOSED,
        Tick(20),
        *[Tick(2**30)] * 4,
        hello(),
        *commands(m.Open(0, 5, 1000, 0)),
        Tick(20),
    ],
    "all numbers go round": [
        Boot(1),
        hello(),
        Count(65_533, 65_533),
        *[Rx(encode(Frame(SESSION, n, m.Close(0, n)).to_body())) for n in (65_534, 65_535, 65_535, 1, 1, 2, 65_535)],
        Rx(encode(Frame(SESSION, 0, m.Ping(1, 65_535)).to_body())),
        Tick(250),
    ],
}


@pytest.mark.parametrize("name", CASES)
def test_found_once(name: str, core_end: CoreEnd) -> None:
    """The two ends agree."""
    found = difference(core_end, CASES[name])
    assert found is None, str(found)
