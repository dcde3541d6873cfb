"""Bytes on the line: COBS for the frame's borders, CRC-16/GENIBUS for its truth."""

from __future__ import annotations

import binascii
from dataclasses import dataclass, field

from cobs import cobs

DELIMITER = b"\x00"
CRC_SIZE = 2
HEADER_SIZE = 6
BODY_MAX = 60
"""Header, at most 52 bytes of payload, CRC."""
WIRE_MAX = BODY_MAX + 2
"""One COBS code byte (a body is shorter than 254) and the delimiter."""

SILENCE_MS = 1000
"""After this long a sender flushes the line with one delimiter more."""


class FrameTooLong(ValueError):  # noqa: N818  # says what it is
    """A body that does not fit a frame: a bug of the sender."""


def crc16(data: bytes) -> int:
    """CRC-16/GENIBUS: poly 0x1021, init 0xFFFF, xorout 0xFFFF; the xorout keeps a stray trailing zero from passing."""
    return binascii.crc_hqx(data, 0xFFFF) ^ 0xFFFF


def encode(body: bytes) -> bytes:
    """One frame as it goes over the line, delimiter last; ``body`` is header and payload, without CRC."""
    if len(body) + CRC_SIZE > BODY_MAX:
        raise FrameTooLong(f"a body has at most {BODY_MAX - CRC_SIZE} bytes before its CRC, not {len(body)}")
    return bytes(cobs.encode(body + crc16(body).to_bytes(CRC_SIZE, "big"))) + DELIMITER


@dataclass(slots=True)
class Errors:
    """What was dropped and why; telemetry carries each modulo 256."""

    crc: int = 0
    """Bad COBS or CRC."""
    length: int = 0
    """Shorter than a header, or (counted by the owner) no such message, wrong length, reserved bits, other major."""
    seq: int = 0
    """Counted by the owner: wrong session or seq."""
    overrun: int = 0
    """Longer than any frame."""


@dataclass(slots=True)
class Decoder:
    """Bytes in any portions in, bodies (without CRC) out. Never raises, never holds more than one frame."""

    errors: Errors = field(default_factory=Errors)
    _held: bytearray = field(default_factory=bytearray)
    _skipping: bool = False

    def feed(self, data: bytes) -> list[bytes]:
        """Bodies completed by these bytes, in order; bad frames are dropped and counted."""
        *complete, rest = data.split(DELIMITER)
        bodies = [body for part in complete if (body := self._close(part)) is not None]
        self._hold(rest)
        return bodies

    def _hold(self, part: bytes) -> None:
        if not self._skipping and len(self._held) + len(part) < WIRE_MAX:
            self._held += part
        elif not self._skipping:
            # An endless frame is counted once and costs no memory; the next delimiter ends it.
            self.errors.overrun += 1
            self._skipping = True
            self._held.clear()

    def _close(self, part: bytes) -> bytes | None:
        self._hold(part)
        wire = bytes(self._held)
        skipped, self._skipping = self._skipping, False
        self._held.clear()
        return None if skipped or not wire else self._check(wire)

    def _check(self, wire: bytes) -> bytes | None:
        try:
            body = bytes(cobs.decode(wire))
        except cobs.DecodeError:
            self.errors.crc += 1
            return None
        if len(body) < HEADER_SIZE + CRC_SIZE:
            self.errors.length += 1
            return None
        if crc16(body[:-CRC_SIZE]) != int.from_bytes(body[-CRC_SIZE:], "big"):
            self.errors.crc += 1
            return None
        return body[:-CRC_SIZE]


@dataclass(slots=True)
class Encoder:
    """Encodes and puts a leading delimiter after opening the port or a long silence, so that noise before it is flushed.

    ``silence`` is 1 s in the unit of ``now``.
    """

    silence: float
    _last: float | None = None

    def encode(self, body: bytes, now: float) -> bytes:
        """Bytes for the line at ``now``."""
        quiet = self._last is None or not 0 <= now - self._last < self.silence
        self._last = now
        return (DELIMITER if quiet else b"") + encode(body)
