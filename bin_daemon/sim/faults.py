"""Named faults of a serial line: each takes the bytes of one direction and says what comes out at the far end, and when.

Faults are wrappers around a healthy part, never flags inside one. They chain: ``Line([Garble(rng, 0.001), Delay(0.04)])``.
Frames are what lies between two zero bytes, as on the wire.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from firmware_protocol.framing import HEADER_SIZE, Decoder, encode
from firmware_protocol.messages import Type

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

DELIMITER = b"\x00"


class Fault(Protocol):
    """One direction of a wire. Called with what went in (may be nothing) and the time; returns what comes out by then."""

    def carry(self, data: bytes, now_s: float) -> bytes:
        """Bytes that reach the far end now."""


class Line:
    """Faults in a row, the sender's side first. Without any, a perfect line."""

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self.faults = list(faults)

    def carry(self, data: bytes, now_s: float) -> bytes:
        """Bytes that reach the far end now."""
        for fault in self.faults:
            data = fault.carry(data, now_s)
        return data

    def flow(self, data: bytes, now_s: float) -> Iterator[bytes]:
        """All that reaches the far end now, in the portions in which it arrives."""
        while part := self.carry(data, now_s):
            yield part
            data = b""


class OneByteAtATime:
    """Hands out one byte a call, as a slow UART seen by a fast reader."""

    def __init__(self) -> None:
        self._waiting: deque[int] = deque()

    def carry(self, data: bytes, now_s: float) -> bytes:  # noqa: ARG002 - the clock is part of every fault
        """The oldest byte, if any."""
        self._waiting.extend(data)
        return bytes([self._waiting.popleft()]) if self._waiting else b""


class Garble:
    """Flips one random bit of a byte with probability ``rate`` a byte; ``struck`` counts them."""

    def __init__(self, rng: random.Random, rate: float) -> None:
        self._rng, self._rate = rng, rate
        self.struck = 0

    def carry(self, data: bytes, now_s: float) -> bytes:  # noqa: ARG002
        """The bytes, some of them damaged; as many as went in."""
        return bytes(self._flip(byte) if self._rng.random() < self._rate else byte for byte in data)

    def _flip(self, byte: int) -> int:
        self.struck += 1
        return byte ^ (1 << self._rng.randrange(8))


class Lose:
    """Loses a byte with probability ``rate``; ``struck`` counts them."""

    def __init__(self, rng: random.Random, rate: float) -> None:
        self._rng, self._rate = rng, rate
        self.struck = 0

    def carry(self, data: bytes, now_s: float) -> bytes:  # noqa: ARG002
        """What is left."""
        kept = bytes(byte for byte in data if self._rng.random() >= self._rate)
        self.struck += len(data) - len(kept)
        return kept


class _FrameFault:
    """Collects whole frames; subclasses say what becomes of each that is ``struck``. An unfinished frame waits for its end."""

    def __init__(self, rng: random.Random, rate: float) -> None:
        self._rng, self._rate = rng, rate
        self._partial = b""
        self.struck = 0

    def carry(self, data: bytes, now_s: float) -> bytes:  # noqa: ARG002
        """Frames that reach the far end now."""
        *frames, self._partial = (self._partial + data).split(DELIMITER)
        return b"".join(self._pass(frame + DELIMITER) for frame in frames)

    def _pass(self, frame: bytes) -> bytes:
        if self._rng.random() >= self._rate:
            return frame
        self.struck += 1
        return self._treat(frame)

    def _treat(self, frame: bytes) -> bytes:
        raise NotImplementedError


class Drop(_FrameFault):
    """Loses a frame with probability ``rate``."""

    def _treat(self, frame: bytes) -> bytes:  # noqa: ARG002
        return b""


class Duplicate(_FrameFault):
    """Delivers a frame twice with probability ``rate``."""

    def _treat(self, frame: bytes) -> bytes:
        return frame + frame


class Truncate(_FrameFault):
    """Cuts a frame short, its delimiter too, with probability ``rate``: it runs into the next one."""

    def _treat(self, frame: bytes) -> bytes:
        return frame[: self._rng.randrange(len(frame))]


class Delay:
    """Delivers everything ``delay_s`` later, in order."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._waiting: deque[tuple[float, bytes]] = deque()

    def carry(self, data: bytes, now_s: float) -> bytes:
        """What was sent at least ``delay_s`` ago."""
        if data:
            self._waiting.append((now_s + self._delay_s, data))
        due = b""
        while self._waiting and self._waiting[0][0] <= now_s:
            due += self._waiting.popleft()[1]
        return due


class Unplug:
    """A cable that is pulled after ``after_bytes`` bytes (or by `pull`): nothing comes through until `plug`."""

    def __init__(self, after_bytes: int | None = None) -> None:
        self._left = after_bytes
        self.pulled = False

    def pull(self) -> None:
        """Out, now."""
        self.pulled = True

    def plug(self) -> None:
        """In again, for good."""
        self.pulled, self._left = False, None

    def carry(self, data: bytes, now_s: float) -> bytes:  # noqa: ARG002
        """The bytes until the cable is out, then nothing."""
        if self.pulled:
            return b""
        if self._left is not None:
            data, self._left = data[: self._left], self._left - len(data)
            self.pulled = self._left <= 0
        return data


def cable_faults(rng: random.Random, *, noise: float, latency_ms: float, dribble: int) -> Iterator[Fault]:
    """What any cable can have, as far as it is not 0: flipped bits, delay, and bytes one by one."""
    if noise:
        yield Garble(rng, noise)
    if latency_ms:
        yield Delay(latency_ms / 1000.0)
    if dribble:
        yield OneByteAtATime()


class OtherMajor:
    """A controller of another protocol major: header and HELLO_ACK say so, checksums fit."""

    def __init__(self, major: int) -> None:
        self._major = major
        self._decoder = Decoder()

    def carry(self, data: bytes, now_s: float) -> bytes:  # noqa: ARG002
        """The same frames, of the other major."""
        return b"".join(encode(self._foreign(bytearray(body))) for body in self._decoder.feed(data))

    def _foreign(self, body: bytearray) -> bytes:
        body[1] = self._major << 4 | body[1] & 0x0F
        if body[0] == Type.HELLO_ACK:
            body[HEADER_SIZE] = self._major
        return bytes(body)
