"""Bytes that nobody should send: no lid moves, a counter says so, and the next good frame is understood."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_protocol import messages as m
from firmware_protocol.framing import encode
from firmware_protocol.messages import Frame
from firmware_protocol.vectors import FRAMES
from tests.firmware_protocol.bench import Device, connected

BY_NAME = dict(FRAMES)
HOST_FRAMES = [name for name, frame in FRAMES if frame.message.TYPE < 0x80]
OPEN = m.Open(0, 1, 1000, 0)


def counted(d: Device) -> int:
    """All errors so far."""
    errors = d.controller.errors
    return errors.crc + errors.length + errors.seq + errors.overrun


def answers(d: Device) -> bool:
    """The very next frame gets its answer."""
    return any(isinstance(f.message, m.Pong) for f in d.raw(d.frame(m.Ping(1, 0))))


def ready(frame: Frame) -> Device:
    """A device for which this frame would be the next one due."""
    d = connected()
    d.session = frame.session or d.session
    d.hello()
    if frame.seq > 1:
        d.controller._last_seq = frame.seq - 1
    d.board.pulses.clear()
    return d


@pytest.mark.parametrize("name", HOST_FRAMES)
def test_every_single_bit_flip(name: str) -> None:
    """Each bit of each frame of the host flipped in turn: never executed, always counted, and the next frame is answered.

    A flip that makes or unmakes a delimiter may cost that one frame more, hence the delimiter before the next.
    """
    frame = BY_NAME[name]
    wire = encode(frame.to_body())
    d = ready(frame)
    last_seq = d.controller._last_seq
    for bit in range(8 * len(wire)):
        before = counted(d)
        bad = bytearray(wire)
        bad[bit // 8] ^= 1 << bit % 8
        assert d.raw(bytes(bad)) == []
        d.raw(b"\x00")
        assert counted(d) > before, f"bit {bit} went unnoticed"
        assert answers(d)
    assert d.controller._last_seq == last_seq
    assert d.board.pulses == []
    assert d.motions == []
    assert d.controller.opens == {}


@pytest.mark.parametrize("name", HOST_FRAMES)
def test_every_truncation(name: str) -> None:
    """Each frame of the host cut at every byte, and each without its head: never executed, always counted."""
    frame = BY_NAME[name]
    wire = encode(frame.to_body())
    d = ready(frame)
    for size in range(1, len(wire) - 1):
        for bad in (wire[:size] + b"\x00", wire[size:]):
            before = counted(d)
            assert d.raw(bad) == []
            assert counted(d) == before + 1
        assert answers(d)
    assert d.board.pulses == []
    assert d.motions == []


@pytest.mark.parametrize("name", [name for name, frame in FRAMES if frame.message.TYPE >= 0x80])
def test_a_controllers_own_frames_do_nothing(name: str) -> None:
    """An echo, or a second controller on the line, is counted and moves nothing."""
    d = ready(BY_NAME[name])
    before = counted(d)
    assert d.raw(encode(BY_NAME[name].to_body())) == []
    assert counted(d) == before + 1


@given(st.lists(st.binary(max_size=80), max_size=8))
@settings(max_examples=60, deadline=None)
def test_random_bytes_move_nothing(noise: list[bytes]) -> None:
    """Any bytes in any portions to an idle controller with a session: no pulse, and it answers the next frame."""
    d = connected()
    d.board.pulses.clear()
    for part in noise:
        d.raw(part + b"\x00")
        d.run(10, ping=False)
    assert {p for _, p in d.board.pulses} <= {None}
    assert d.motions == []
    assert answers(d)


@given(st.binary(min_size=6, max_size=58))
@settings(max_examples=200, deadline=None)
def test_random_frames_with_a_true_crc_move_nothing(body: bytes) -> None:
    """Even a body whose CRC is right opens nothing unless session, seq and length fit too."""
    d = connected()
    session = d.controller._session
    fits = body[0] == m.Type.CMD and int.from_bytes(body[2:4], "little") == session
    d.raw(encode(body))
    d.run(100, ping=False)
    if not fits:
        assert d.motions == []


@pytest.mark.parametrize("length", range(53))
def test_wrong_lengths_with_a_true_crc(length: int) -> None:
    """An OPEN with any payload length but its own is dropped and counted as length."""
    d = connected()
    payload = (OPEN.to_bytes() * 6)[:length]
    frame = Frame(d.session, 1, OPEN).to_body()[:6] + payload
    d.raw(encode(frame))
    opened = length == OPEN.size()
    assert d.controller.opens[1] == opened
    assert d.controller.errors.length == (not opened)


def test_a_million_noisy_bytes() -> None:
    """1 MB of noise at a controller with a session: nothing moves, the counters tell, the link lives within one frame."""
    rng = random.Random(5)
    d = connected()
    d.board.pulses.clear()
    for _ in range(250):
        d.raw(rng.randbytes(4000))
    d.raw(b"\x00")
    assert answers(d)
    assert d.board.pulses == []
    assert d.controller.errors.crc > 500
    assert d.controller.errors.overrun > 2000
    d.run(600)
    telemetry = [f.message for f in d.frames if isinstance(f.message, m.Telemetry)][-1]
    assert telemetry.crc_errors == d.controller.errors.crc % 256
