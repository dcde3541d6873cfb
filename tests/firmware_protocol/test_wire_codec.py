"""Bytes: every message there and back, golden vectors, and a decoder that nothing upsets."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cobs import cobs
from hypothesis import given, settings
from hypothesis import strategies as st

import firmware_protocol
from firmware_protocol import generate
from firmware_protocol import messages as m
from firmware_protocol.framing import BODY_MAX, WIRE_MAX, Decoder, Encoder, FrameTooLong, crc16, encode
from firmware_protocol.messages import Frame, LidTelemetry, MajorError, Message, MessageError, Wire, wire_fields
from firmware_protocol.vectors import FRAMES

FOLDER = Path(firmware_protocol.__file__).parent
UNHURRIED = settings(max_examples=60, deadline=None)
"""A loaded machine must not fail a property."""
RANGES = {"B": (0, 0xFF), "b": (-128, 127), "H": (0, 0xFFFF), "I": (0, 0xFFFFFFFF)}


def field_values(wire: Wire | None) -> st.SearchStrategy[Any]:
    """Any value that a field can carry, unknown ones too."""
    if wire is None:
        return st.tuples(*(messages_of(LidTelemetry) for _ in range(m.SLOTS)))
    if wire.fmt == "6s":
        return st.binary(min_size=6, max_size=6)
    numbers = st.integers(*RANGES[wire.fmt])
    if wire.unknown is None:
        return numbers
    return st.none() | numbers.filter(lambda x: x != wire.unknown)


def messages_of(cls: type[Message]) -> st.SearchStrategy[Message]:
    """Any message of one class."""
    return st.builds(cls, **{name: field_values(wire) for name, wire in wire_fields(cls)})


any_message = st.sampled_from(m.MESSAGES).flatmap(messages_of)
any_frame = st.builds(Frame, st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), any_message, retransmit=st.booleans())


@UNHURRIED
@given(any_frame)
def test_every_frame_comes_back_as_it_went(frame: Frame) -> None:
    """Message, body and wire: what is decoded equals what was encoded, and its size is the promised one."""
    message = frame.message
    payload = message.to_bytes()
    assert len(payload) == message.size() <= 52
    assert message.from_bytes(payload) == message
    wire = encode(frame.to_body())
    assert len(wire) <= WIRE_MAX
    assert wire.count(0) == 1
    (body,) = Decoder().feed(wire)
    assert Frame.from_body(body) == frame


@UNHURRIED
@given(any_message, st.data())
def test_a_message_of_another_length_is_refused(message: Message, data: st.DataObject) -> None:
    """One byte more or less is no message, whatever the bytes."""
    payload = message.to_bytes()
    wrong = data.draw(st.sampled_from([payload + b"\x00", payload[:-1]]))
    with pytest.raises(MessageError):
        message.from_bytes(wrong)
    with pytest.raises(MessageError):
        Frame.from_body(Frame(1, 1, message).to_body()[:6] + wrong)


def test_crc_check_value() -> None:
    """CRC-16/GENIBUS as catalogued, and a bitwise CRC written from its definition agrees."""

    def bitwise(data: bytes) -> int:
        crc = 0xFFFF
        for byte in data:
            crc ^= byte << 8
            for _ in range(8):
                crc = (crc << 1 ^ (0x1021 if crc & 0x8000 else 0)) & 0xFFFF
        return crc ^ 0xFFFF

    assert crc16(b"123456789") == 0xD64E
    rng = random.Random(1)
    for size in range(61):
        data = rng.randbytes(size)
        assert crc16(data) == bitwise(data)


def test_hello_by_hand() -> None:
    """HELLO, session 0x04D2, telemetry 500 ms, worked out on paper: header, payload, and COBS by hand; CRC 0xE368."""
    frame = Frame(0x04D2, 0, m.Hello(1, 0, 500))
    body = bytes.fromhex("0110D2040000" + "0100F401")
    assert frame.to_body() == body
    assert encode(body) == bytes.fromhex("05 0110D204 01 02 01 05 F401E368 00")


@pytest.mark.parametrize(
    ("message", "payload"),
    [
        (m.Open(3, 0x11223344, 1500, 400), "0a03 44332211 dc05 9001"),
        (m.Close(3, 1), "0b03 01000000"),
        (m.StopNow(), "0c"),
        (m.StopLatch(), "0d"),
        (m.StopClear(), "0e 424f454e"),
        (m.Jog(1, 1500), "0f01 dc05"),
        (m.Calibrate(1), "1001"),
        (m.SetCal(2, 2000, 1000, 20, 900), "1402 d007 e803 14 8403"),
        (m.GetCal(2), "1502"),
        (m.SetTelemetry(250), "16 fa00"),
        (m.Indicate(2, 2000), "1802 d007"),
        (m.Reboot(), "1e 424f454e"),
        (m.EnterBootloader(), "1f 424f454e"),
        (m.Ping(1, 2), "01000000 0200"),
        (m.Result(17, 5), "11 0500"),
        (m.Event(9, 2, 1, 7, None), "0900 02 01 07000000 ffff"),
        (m.Boot(1, 2, 3, 8, 5), "01 02 03 08 05000000"),
        (m.Pong(1, 2), "01000000 02000000"),
    ],
)
def test_payload_bytes_of_the_published_layout(message: Message, payload: str) -> None:
    """Literal bytes written from the protocol's text, so that a shifted field in the code cannot hide."""
    assert message.to_bytes() == bytes.fromhex(payload)


def test_sizes_of_the_published_layout() -> None:
    """HELLO_ACK 26 B and TELEMETRY 48 B, and no body above 60."""
    assert m.HelloAck.size() == 26
    assert m.Telemetry.size() == 48
    assert max(cls.size() for cls in m.MESSAGES) + 8 <= BODY_MAX


def test_unknown_values_are_null_never_zero() -> None:
    """The reserved codes of telemetry become None, and 0 stays 0."""
    slot = m.LidTelemetry(1, None, None, None, None)
    telemetry = m.Telemetry(0, 0, 0, None, 0, (slot,) * 4, None, None, 0, 0, 0, 0)
    payload = telemetry.to_bytes()
    assert payload[6:8] == b"\xff\xff"
    assert payload[8:10] == b"\x00\x00"
    assert payload[10:18] == bytes.fromhex("01 ffff ff ffff ffff")
    assert payload[42:44] == b"\xff\x80"
    assert m.Telemetry.from_bytes(payload) == telemetry


def test_golden_vectors() -> None:
    """vectors.json: its bytes decode to its fields and its fields encode to its bytes, for every message there is."""
    listed = json.loads((FOLDER / "vectors.json").read_text(encoding="utf-8"))
    assert crc16(listed["crc"]["of"].encode()) == listed["crc"]["is"] == 0xD64E
    seen = set()
    for vector, (name, frame) in zip(listed["frames"], FRAMES, strict=True):
        assert vector["name"] == name
        wire, body = bytes.fromhex(vector["wire"]), bytes.fromhex(vector["body"])
        assert cobs.decode(wire[:-1]) == body
        (decoded,) = Decoder().feed(wire)
        assert Frame.from_body(decoded) == frame
        assert encode(frame.to_body()) == wire
        assert (frame.message.TYPE, frame.session, frame.seq) == (vector["type"], vector["session"], vector["seq"])
        seen.add(type(frame.message))
    assert seen == set(m.MESSAGES)


def test_generated_files_are_fresh() -> None:
    """The check command is content with the tree as it stands."""
    run = subprocess.run(
        [sys.executable, "-m", "firmware_protocol.generate", "--check"],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=FOLDER.parent,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_a_stale_file_is_found(tmp_path: Path) -> None:
    """One changed number in any file is named; a lost marker is an error."""
    (tmp_path / "firmware").mkdir()
    for path, text in generate.generated().items():
        (tmp_path / path.relative_to(FOLDER)).write_text(text, encoding="utf-8")
    assert generate.stale(tmp_path) == []
    for name, old, new in (
        ("SPEC.md", "payload 26 bytes", "payload 27 bytes"),
        ("vectors.json", "54862", "54863"),
        ("firmware/protocol.h", "BIN_SIZE_HELLO_ACK 26", "BIN_SIZE_HELLO_ACK 27"),
    ):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert old in text
        (tmp_path / name).write_text(text.replace(old, new), encoding="utf-8")
    assert {p.name for p in generate.stale(tmp_path)} == {"SPEC.md", "vectors.json", "protocol.h"}
    (tmp_path / "SPEC.md").write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match="generated: messages"):
        generate.stale(tmp_path)


def test_wrong_arguments_are_refused() -> None:
    """A typing error must not rewrite files."""
    assert generate.main(["--chek"]) == 2


# ---- the decoder --------------------------------------------------------------------------------------------------------

GOOD = encode(Frame(7, 1, m.Close(1, 5)).to_body())


@UNHURRIED
@given(st.lists(any_frame, max_size=6), st.data())
def test_portions_do_not_matter(frames: list[Frame], data: st.DataObject) -> None:
    """One byte at a time, or all at once, or anything between: the same frames."""
    stream = b"".join(encode(f.to_body()) for f in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    decoder = Decoder()
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    found = [Frame.from_body(body) for part in parts for body in decoder.feed(part)]
    assert found == frames
    one = Decoder()
    assert [Frame.from_body(b) for byte in stream for b in one.feed(bytes([byte]))] == frames


@UNHURRIED
@given(st.binary(max_size=400))
def test_random_bytes_are_survived(noise: bytes) -> None:
    """Noise never raises, never grows the buffer, and the first frame after a delimiter comes through."""
    decoder = Decoder()
    decoder.feed(noise)
    assert len(decoder._held) < WIRE_MAX
    assert decoder.feed(b"\x00" + GOOD)[-1:] == [Frame(7, 1, m.Close(1, 5)).to_body()]


def test_an_endless_frame_is_one_overrun() -> None:
    """10 kB without a delimiter: one overrun, no memory, and the next frame is read."""
    decoder = Decoder()
    for _ in range(100):
        assert decoder.feed(b"\x55" * 100) == []
        assert len(decoder._held) < WIRE_MAX
    assert decoder.feed(b"\x00" + GOOD) == [Frame(7, 1, m.Close(1, 5)).to_body()]
    assert (decoder.errors.overrun, decoder.errors.crc, decoder.errors.length) == (1, 0, 0)


def test_the_longest_frame_fits_and_one_more_does_not() -> None:
    """52 bytes of payload pass in whole and byte by byte; the encoder refuses a 53rd, the decoder counts it as overrun."""
    body = bytes(range(1, 59))
    assert Decoder().feed(encode(body)) == [body]
    with pytest.raises(FrameTooLong):
        encode(body + b"\x01")
    decoder = Decoder()
    wire = cobs.encode(body + b"\x01" + crc16(body + b"\x01").to_bytes(2, "big")) + b"\x00"
    assert [b for byte in wire for b in decoder.feed(bytes([byte]))] == []
    assert decoder.errors.overrun == 1


def test_the_xorout_catches_a_stray_byte() -> None:
    """A stray 01 before the delimiter, which appends a zero byte, never passes (it would without the xorout)."""
    rng = random.Random(2)
    decoder = Decoder()
    for _ in range(2000):
        wire = encode(rng.randbytes(rng.randrange(6, 40)))
        assert decoder.feed(wire[:-1] + b"\x01\x00") == []
    assert decoder.errors.crc == 2000


def test_short_and_foreign_frames_are_told_apart() -> None:
    """Fewer than 8 bytes is a length error; another major, reserved bits and unknown ids are named."""
    decoder = Decoder()
    decoder.feed(encode(b"\x01\x10\x01\x00\x00"))
    assert decoder.errors.length == 1
    with pytest.raises(MajorError) as caught:
        Frame.from_body(bytes.fromhex("01 20 0100 0000 020000"))
    assert (caught.value.major, caught.value.session, caught.value.type_id) == (2, 1, 1)
    for wrong in ("01 12 0100 0000 0100f401", "09 10 0100 0000", "02 10 0100 0100 63", "02 10 0100 0100", "02 10"):
        with pytest.raises(MessageError):
            Frame.from_body(bytes.fromhex(wrong))


def test_a_leading_delimiter_after_silence() -> None:
    """The first frame, and one after a second of silence, flush the line first."""
    encoder = Encoder(silence=1000)
    assert encoder.encode(b"abcdef", 0)[0] == 0
    assert encoder.encode(b"abcdef", 999)[0] != 0
    assert encoder.encode(b"abcdef", 2000)[0] == 0
    assert encoder.encode(b"abcdef", 3)[0] == 0  # a clock that ran over counts as silence
