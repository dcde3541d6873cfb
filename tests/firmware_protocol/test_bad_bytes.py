"""Bytes that nobody should send: no lid moves, a counter says so, and the next good frame is understood."""

from __future__ import annotations

import random
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_protocol import messages as m
from firmware_protocol.framing import Decoder, encode
from firmware_protocol.messages import Code, Frame
from firmware_protocol.vectors import FRAMES
from tests.firmware_protocol.bench import Device, connected
from tests.firmware_protocol.bodies.stand import shut_stand
from tests.firmware_protocol.conftest import MakeBody

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


@pytest.mark.parametrize("name", HOST_FRAMES)
def test_every_double_bit_flip(name: str) -> None:
    """Any two bits of each frame of the host wrong: never executed, always counted, and the next frame is answered."""
    frame = BY_NAME[name]
    wire = encode(frame.to_body())
    d = ready(frame)
    last_seq = d.controller._last_seq
    ping = d.frame(m.Ping(1, 0))
    for first, second in combinations(range(8 * len(wire)), 2):
        bad = bytearray(wire)
        bad[first // 8] ^= 1 << first % 8
        bad[second // 8] ^= 1 << second % 8
        errors = d.controller.errors
        errors.crc = errors.length = errors.seq = errors.overrun = 0
        d.controller.receive(bytes(bad) + b"\x00", d.now_ms)
        assert counted(d), f"bits {first} and {second} went unnoticed"
        assert not d.controller.take_output(), f"bits {first} and {second} made a frame"
        if second % 16 == 0:
            d.controller.receive(ping, d.now_ms)
            assert d.controller.take_output()
    assert d.controller._last_seq == last_seq
    assert d.board.pulses == []
    assert d.motions == []


@pytest.mark.parametrize("name", [name for name, frame in FRAMES if frame.message.TYPE >= 0x80])
def test_double_flips_of_the_controllers_frames(name: str) -> None:
    """Two wrong bits, the first of them any, the second one of 64 chosen by chance: no other message comes of it at the host."""
    wire = encode(BY_NAME[name].to_body())
    rng = random.Random(8)
    decoder = Decoder()
    for first in range(8 * len(wire)):
        for second in rng.choices(range(8 * len(wire)), k=64):
            bad = bytearray(wire)
            bad[first // 8] ^= 1 << first % 8
            if second != first:
                bad[second // 8] ^= 1 << second % 8
            for body in decoder.feed(bytes(bad) + b"\x00"):
                with pytest.raises(m.MessageError):
                    Frame.from_body(body)


@pytest.mark.parametrize(
    "bad", ["session", "old seq", "seq too far", "lid", "hold", "action 0", "major", "reserved bits"]
)
@pytest.mark.needs("no_time")
def test_sound_frames_that_mean_nothing(bad: str, make_body: MakeBody) -> None:
    """A true CRC does not help: refused or dropped, told in a counter or a RESULT, and no lid moves (but a hold is clamped)."""
    stand = shut_stand(make_body())
    before_ms = stand.now_ms
    session, seq, lid, action, hold_ms = stand.session, 1, 0, 7, 1000
    if bad == "session":
        session ^= 1
    elif bad == "old seq":
        stand.ask(m.GetCal(0))
        stand.ask(m.GetCal(0))
    elif bad == "seq too far":
        seq = 3
    elif bad == "lid":
        lid = 4
    elif bad == "hold":
        hold_ms = 65_535
    elif bad == "action 0":
        action = 0
    body = bytearray(Frame(session, seq, m.Open(lid, action, hold_ms, 0)).to_body())
    body[1] = {"major": 0x20, "reserved bits": 0x18}.get(bad, body[1])
    errors = sum(stand.errors())
    frames = stand.raw(encode(bytes(body)))
    codes = [f.message.code for f in frames if isinstance(f.message, m.Result)]
    if bad == "hold":
        assert codes == [Code.OK_ACCEPTED]
        stand.run(1000 + 10_000 + 2000 + 3000)
        assert stand.openings() == 1
        assert stand.plant.all_shut
        return
    assert codes in ([], [Code.NO_SESSION], [Code.BAD_SEQ], [Code.BAD_ARG])
    assert (sum(stand.errors()) > errors) == (codes != [Code.BAD_ARG])
    stand.run(1500)
    assert stand.no_signal(before_ms)


NOISE_BYTES = {"reference": 300_000, "host": 300_000, "avr": 6000}


def test_noise_at_every_body(body_name: str, make_body: MakeBody) -> None:
    """Any bytes, many delimiters, bytes like COBS codes: no signal, the counters tell, the link lives, and a lid opens."""
    rng = random.Random(6)
    stand = shut_stand(make_body())
    before_ms, errors = stand.now_ms, stand.errors()
    left = NOISE_BYTES[body_name]
    while left > 0:
        kind = rng.randrange(3)
        noise = bytearray(rng.randbytes(200))
        if kind:
            noise = bytearray(0 if kind == 1 and rng.random() < 0.15 else x & (15 if kind == 2 else 255) for x in noise)
        left -= len(noise)
        stand.step(20, bytes(noise) + b"\x00")  # 17 ms of them at 115200 baud
        if left % 2000 == 0:
            stand.raw(stand.frame(m.Ping(1, 0)))
    assert stand.no_signal(before_ms)
    assert (
        sum(x != y for x, y in zip(errors, stand.errors(), strict=True)) >= 2
    )  # modulo 256 one may stand where it stood
    assert stand.open(1) == (Code.OK_ACCEPTED, 0)


def test_flips_at_the_image(make_body: MakeBody, body_name: str) -> None:
    """An OPEN with each single bit wrong: no signal, and the sound one is still the next in turn."""
    stand = shut_stand(make_body())
    before_ms = stand.now_ms
    stand.seq = 1
    wire = stand.frame(m.Open(0, 9, 1000, 0), 1)
    for bit in range(8 * len(wire)):
        bad = bytearray(wire)
        bad[bit // 8] ^= 1 << bit % 8
        stand.step(5, bytes(bad) + b"\x00")
        if bit % 64 == 0:
            stand.raw(stand.frame(m.Ping(1, 0)))
    assert stand.no_signal(before_ms)
    assert stand.ask_raw(m.Open(0, 9, 1000, 0), 1) == (Code.OK_ACCEPTED, 0)


def test_ten_million_noisy_bytes() -> None:
    """10 MB of noise at a controller with a session: nothing moves, the counters tell, the link lives within one frame."""
    rng = random.Random(5)
    d = connected()
    d.board.pulses.clear()
    for _ in range(2500):
        d.raw(rng.randbytes(4000))
        d.raw(b"\x00")
        assert answers(d)
    assert d.board.pulses == []
    assert d.controller.errors.crc > 5000
    assert d.controller.errors.overrun > 20_000
    d.run(600)
    telemetry = [f.message for f in d.frames if isinstance(f.message, m.Telemetry)][-1]
    assert telemetry.crc_errors == d.controller.errors.crc % 256
