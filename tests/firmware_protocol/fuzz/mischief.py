"""Bytes that nobody should send, made from the frames that would be right."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from firmware_protocol import messages as m
from firmware_protocol.framing import encode
from firmware_protocol.messages import Cmd, Frame

PERIODS_MS = (0, 1, 49, 50, 100, 500, 10_000, 10_001, 65_535)


@dataclass(frozen=True)
class Due:
    """What the controller would take next: in this session, from this seq on, these commands."""

    session: int
    seq: int
    commands: list[m.Command]

    @property
    def body(self) -> bytes:
        """The first of them, without CRC."""
        return Frame(self.session, self.seq, self.commands[0]).to_body()

    @property
    def wire(self) -> bytes:
        """The first of them, as it would come."""
        return encode(self.body)


def noise(rng: random.Random, _due: Due) -> Iterator[bytes]:
    """Anything, up to more than a frame."""
    yield rng.randbytes(rng.choice((1, 3, 20, 61, 62, 63, 200)))


def in_two_portions(rng: random.Random, due: Due) -> Iterator[bytes]:
    """A good frame, as a line delivers it."""
    cut = rng.randrange(len(due.wire))
    yield due.wire[:cut]
    yield due.wire[cut:]


def cut_off(rng: random.Random, due: Due) -> Iterator[bytes]:
    """A frame without its end; perhaps the delimiter is there."""
    yield due.wire[: rng.randrange(len(due.wire))] + b"\0" * rng.randrange(2)


def flipped(rng: random.Random, due: Due) -> Iterator[bytes]:
    """One or two bits are wrong."""
    bad = bytearray(due.wire)
    for _ in range(rng.choice((1, 2))):
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
    yield bytes(bad)


def of_a_stranger(rng: random.Random, due: Due) -> Iterator[bytes]:
    """Another session, an old seq, a seq too far."""
    seq = rng.choice((0, due.seq - 1, due.seq - 1, due.seq - 2, due.seq + 1, rng.randrange(65_536))) & 0xFFFF
    session = rng.choice((due.session, due.session, 0, rng.randrange(65_536)))
    yield encode(Frame(session, seq, due.commands[0]).to_body())


def with_a_true_crc(rng: random.Random, due: Due) -> Iterator[bytes]:
    """Any byte is another, some may follow, and the CRC knows."""
    body = bytearray(due.body)
    body[rng.randrange(len(body))] = rng.randrange(256)
    yield encode(bytes(body) + rng.randbytes(rng.choice((0, 0, 1, 5))))


def many_at_once(_rng: random.Random, due: Due) -> Iterator[bytes]:
    """A host that does not wait for answers."""
    yield b"".join(encode(Frame(due.session, due.seq + n & 0xFFFF, x).to_body()) for n, x in enumerate(due.commands))


def of_another_kind(rng: random.Random, due: Due) -> Iterator[bytes]:
    """The other direction, another major, reserved bits, any type."""
    message = rng.choice((m.Boot(1, 0, 0, 1, 0), m.Hello(2, 0, 0), m.Pong(1, 2)))
    body = bytearray(Frame(due.session, due.seq, message).to_body())
    body[rng.randrange(2)] = rng.choice((1, 2, 3, 0x10, 0x11, 0x12, 0x20, 0x21, 0x81, 0x88, 0xFF))
    yield encode(bytes(body))


def hello(rng: random.Random, due: Due) -> Iterator[bytes]:
    """The session again, or another one, or one of a major to come."""
    session = rng.choice((due.session, due.session, 0, rng.randrange(65_536)))
    message = m.Hello(rng.choice((1, 1, 1, 2)), 0, rng.choice(PERIODS_MS))
    yield encode(Frame(session, rng.choice((0, 0, 0, 1)), message).to_body())


def of_any_length(rng: random.Random, due: Due) -> Iterator[bytes]:
    """A command that does not exist, or exists with another length."""
    payload = bytes([rng.choice((*Cmd, 0, 1, 9, 17, 23, 32, 255))]) + rng.randbytes(rng.randrange(12))
    yield encode(due.body[: m.HEADER_SIZE] + payload)


def delimiters(rng: random.Random, _due: Due) -> Iterator[bytes]:
    """Empty frames."""
    yield b"\0" * rng.choice((1, 2, 70))


Mischief = Callable[[random.Random, Due], Iterator[bytes]]
MISCHIEF: tuple[Mischief, ...] = (
    noise,
    in_two_portions,
    cut_off,
    flipped,
    of_a_stranger,
    with_a_true_crc,
    many_at_once,
    of_another_kind,
    hello,
    of_any_length,
    delimiters,
)
