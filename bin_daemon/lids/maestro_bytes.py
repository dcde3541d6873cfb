"""Bytes of the Pololu Maestro servo controllers, without a port. Sections are those of the Pololu Maestro Servo Controller
User's Guide (www.pololu.com/docs/0J40).

Command bytes have bit 7 set, data bytes have not (5.c). Pulses travel in quarter microseconds, 14 bits, low seven first (5.e).
Nothing is acknowledged: the only word back about a command is the error register, which is read and cleared by Get Errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag

QUARTERS = 4
"""A microsecond has so many units of Set Target and Get Position (5.e)."""
OFF = 0
"""Target: no pulses. Position: none are sent (5.e)."""
INPUT_MAX = 1023
"""Position of an input at 5 V (4.b, 5.e); a servo's is far above."""
VALUE_MAX = 0x3FFF
CHANNELS = 24
"""Of the largest, the Mini Maestro 24."""
POLOLU = 0xAA
"""First byte of the Pololu protocol: device number and command without its bit 7 follow (5.c)."""
CRC_POLYNOMIAL = 0x91


class Command(IntEnum):
    """Compact protocol (5.e, 5.f)."""

    SET_TARGET = 0x84
    SET_SPEED = 0x87
    SET_ACCELERATION = 0x89
    GET_POSITION = 0x90
    GET_ERRORS = 0xA1
    GO_HOME = 0xA2
    STOP_SCRIPT = 0xA4
    GET_SCRIPT_STATUS = 0xAE


class Errors(IntFlag):
    """The error register (4.e). Whenever a bit is set, all channels go to their home positions."""

    SIGNAL = 1 << 0
    OVERRUN = 1 << 1
    BUFFER_FULL = 1 << 2
    CRC = 1 << 3
    PROTOCOL = 1 << 4
    TIMEOUT = 1 << 5
    SCRIPT_STACK = 1 << 6
    SCRIPT_CALL_STACK = 1 << 7
    SCRIPT_COUNTER = 1 << 8


KNOWN_ERRORS = (1 << 9) - 1
SCRIPT_ERRORS = Errors.SCRIPT_STACK | Errors.SCRIPT_CALL_STACK | Errors.SCRIPT_COUNTER


def names(errors: Errors) -> list[str]:
    """Which bits are set, lowest first."""
    return [bit.name or str(bit.value) for bit in Errors if bit & errors]


def crc7(data: bytes) -> int:
    """CRC-7, least significant bit first, as 5.d computes it."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc ^ CRC_POLYNOMIAL if crc & 1 else crc) >> 1
    return crc


@dataclass(frozen=True, slots=True)
class Dialect:
    """How commands are wrapped: ``device`` None is the compact protocol, else the Pololu protocol (5.c); ``crc`` as in 5.d."""

    device: int | None = None
    crc: bool = False

    def packet(self, command: Command, *data: int) -> bytes:
        """One command. Data bytes must fit in seven bits."""
        start = (command,) if self.device is None else (POLOLU, self.device, command & 0x7F)
        body = bytes((*start, *data))
        return body + bytes([crc7(body)]) if self.crc else body

    def valued(self, command: Command, channel: int, value: int) -> bytes:
        """A command for one channel with one 14-bit value."""
        return self.packet(command, channel, value & 0x7F, value >> 7 & 0x7F)


def speed_units(us_per_20ms: int) -> int:
    """Units of Set Speed are 0.25 us in 10 ms (5.e), at the default pulse period of 20 ms (4.b)."""
    return us_per_20ms * QUARTERS // 2
