"""A Pololu Maestro made of software: it takes and answers bytes as the Maestro User's Guide (www.pololu.com/docs/0J40) says, and
knows no lids. Sections are the guide's.

Written from the guide alone and sharing nothing with `bin_daemon.lids`, so that the two can disagree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

OFF = 0
STEP_S = 0.01
"""Speed is 0.25 us per 10 ms, acceleration 0.25 us per 10 ms per 80 ms (4.b)."""
ACCELERATION_STEPS = 8
INPUT_MAX = 1023
SSC, POLOLU = 0xFF, 0xAA
SIGNAL, OVERRUN, BUFFER_FULL, CRC, PROTOCOL, TIMEOUT = (1 << bit for bit in range(6))
SCRIPT_STACK = 1 << 6
"""Error bits (4.e)."""

DATA_BYTES = {
    0x84: 3,  # Set Target
    0x87: 3,  # Set Speed
    0x89: 3,  # Set Acceleration
    0x8A: 4,  # Set PWM
    0x90: 1,  # Get Position
    0x93: 0,  # Get Moving State
    0x9F: 2,  # Set Multiple Targets, and two for each target
    0xA1: 0,  # Get Errors
    0xA2: 0,  # Go Home
    0xA4: 0,  # Stop Script
    0xA7: 1,  # Restart Script at Subroutine
    0xA8: 3,  # Restart Script at Subroutine with Parameter
    0xAE: 0,  # Get Script Status
}
SET_MULTIPLE = 0x9F


class Mode(Enum):
    """Of a channel (4.b)."""

    SERVO = "servo"
    INPUT = "input"
    OUTPUT = "output"


@dataclass(slots=True)
class Channel:
    """Settings (4.b) and state of one channel. Quarter microseconds; the defaults are those of a new Maestro (3.a)."""

    mode: Mode = Mode.SERVO
    low: int = 992 * 4
    high: int = 2000 * 4
    home: int | None = OFF
    """ "On startup or error": `OFF`, None for Ignore, else Go to."""
    neutral: int = 1500 * 4
    spread: int = 1905
    speed: int = 0
    acceleration: int = 0
    target: int = OFF
    position: float = OFF
    velocity: float = 0.0
    reading: int = 0
    """Of an input, 0..1023."""

    @property
    def told(self) -> int:
        """What Get Position says."""
        return self.reading if self.mode is Mode.INPUT else round(self.position)

    def aim(self, target: int) -> None:
        """Set Target, kept within Min and Max. From off, or without speed and acceleration, the position jumps (5.e)."""
        if self.mode is Mode.INPUT:
            return
        self.target = target and min(max(target, self.low), self.high)
        if OFF in {self.target, self.position} or not (self.speed or self.acceleration):
            self.position, self.velocity = self.target, 0.0

    def go_home(self) -> None:
        """On an error."""
        if self.home is not None:
            self.aim(self.home)

    def step(self) -> None:
        """10 ms."""
        way = self.target - self.position
        if way == 0:
            self.velocity = 0.0
            return
        most = self.speed or math.inf
        if self.acceleration:
            rate = self.acceleration / ACCELERATION_STEPS
            most = self.velocity = min(self.velocity + rate, most, max(rate, math.sqrt(2 * rate * abs(way))))
        self.position += max(-most, min(most, way))


class MaestroBoard:
    """One Maestro, sans I/O: bytes and the time in, bytes out."""

    def __init__(
        self,
        channels: list[Channel],
        now_s: float,
        *,
        timeout_s: float = 0.0,
        device: int = 12,
        crc: bool = False,
        ssc_offset: int = 0,
    ) -> None:
        self.channels = channels
        self.errors = 0
        self.script_runs = False
        self.timeout_s = timeout_s
        self._device, self._crc, self._ssc_offset = device, crc, ssc_offset
        self._packet = bytearray()
        self._skipping = False
        self._reply = b""
        self._heard_s = self._stepped_s = now_s
        for channel in channels:  # at start-up the position is unknown, so there is no speed limit (4.b)
            channel.aim(channel.home or OFF)

    def tick(self, now_s: float) -> None:
        """Let time pass: positions move, the serial time-out may run out (5.a)."""
        while self._stepped_s + STEP_S <= now_s:
            self._stepped_s += STEP_S
            for channel in self.channels:
                channel.step()
        if self.timeout_s and now_s - self._heard_s >= self.timeout_s:
            self._heard_s = now_s
            self.fail(TIMEOUT)

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Take bytes, return the answers."""
        self.tick(now_s)
        self._reply = b""
        for byte in data:
            self._take(byte, now_s)
        return self._reply

    def fail(self, bit: int) -> None:
        """An error: its bit is set and every channel goes home (4.e)."""
        self.errors |= bit
        for channel in self.channels:
            channel.go_home()

    def _take(self, byte: int, now_s: float) -> None:
        if self._packet[:1] == bytes([SSC]) and byte != SSC:
            self._packet.append(byte)  # the only command whose data may have bit 7 set (5.c)
        elif byte & 0x80:
            if self._packet:
                self.fail(PROTOCOL)  # an unfinished packet interrupted by another one
            self._packet, self._skipping = bytearray([byte]), False
        elif self._skipping:
            return
        elif not self._packet:
            self.fail(PROTOCOL)
            return
        else:
            self._packet.append(byte)
        self._look(now_s)

    def _look(self, now_s: float) -> None:
        """Obey the packet if it is whole."""
        packet = self._packet
        if packet[0] == SSC:
            if len(packet) == 3:  # noqa: PLR2004 - 0xFF, address, target
                self._packet = bytearray()
                self._heard_s = now_s
                self._aim_ssc(packet[1] - self._ssc_offset, packet[2])
            return
        if packet[0] == POLOLU and len(packet) > 1 and packet[1] != self._device:
            self._packet, self._skipping = bytearray(), True  # another device's
            return
        head = 3 if packet[0] == POLOLU else 1
        if len(packet) < head:
            return
        command, data = packet[head - 1] | 0x80, packet[head:]
        if command not in DATA_BYTES or command in {SSC, POLOLU}:
            self._packet, self._skipping = bytearray(), True
            self.fail(PROTOCOL)
            return
        size = DATA_BYTES[command] + (2 * data[0] if command == SET_MULTIPLE and data else 0)
        if len(data) < size + self._crc:
            return
        self._packet = bytearray()
        if self._crc and data[size] != _crc7(bytes(packet[:-1])):
            self.fail(CRC)
            return
        self._heard_s = now_s
        self._obey(command, bytes(data[:size]))

    def _obey(self, command: int, data: bytes) -> None:
        if command in {0x84, 0x87, 0x89, 0x90}:
            if data[0] >= len(self.channels):
                self.fail(PROTOCOL)
            else:
                self._obey_channel(command, self.channels[data[0]], data)
        elif command == SET_MULTIPLE:
            for index in range(data[0]):
                if data[1] + index < len(self.channels):
                    self.channels[data[1] + index].aim(_value(data, 2 + 2 * index))
        else:
            self._obey_board(command)

    def _obey_channel(self, command: int, channel: Channel, data: bytes) -> None:
        if command == 0x90:  # noqa: PLR2004 - Get Position
            self._reply += channel.told.to_bytes(2, "little")
        elif command == 0x84:  # noqa: PLR2004 - Set Target
            channel.aim(_value(data, 1))
        elif command == 0x87:  # noqa: PLR2004 - Set Speed
            channel.speed = _value(data, 1)
        else:
            channel.acceleration = _value(data, 1)

    def _obey_board(self, command: int) -> None:
        acts: dict[int, Callable[[], bytes]] = {
            0x93: lambda: bytes([any(c.position != c.target for c in self.channels)]),
            0xA1: self._tell_errors,
            0xA2: self._go_home,
            0xA4: lambda: self._run_script(False),
            0xA7: lambda: self._run_script(True),
            0xA8: lambda: self._run_script(True),
            0xAE: lambda: bytes([not self.script_runs]),
        }
        self._reply += acts[command]() if command in acts else b""

    def _tell_errors(self) -> bytes:
        word, self.errors = self.errors, 0
        return word.to_bytes(2, "little")

    def _go_home(self) -> bytes:
        for channel in self.channels:
            channel.go_home()
        return b""

    def _run_script(self, runs: bool) -> bytes:  # noqa: FBT001 - one of two commands
        self.script_runs = runs
        return b""

    def _aim_ssc(self, number: int, value: int) -> None:
        if 0 <= number < len(self.channels):
            channel = self.channels[number]
            channel.aim(channel.neutral + round((value - 127) * channel.spread / 127))


def _value(data: bytes, at: int) -> int:
    return data[at] | data[at + 1] << 7


def _crc7(data: bytes) -> int:
    """Long division, bit by bit as 5.d does it on paper."""
    bits = [byte >> n & 1 for byte in data for n in range(8)] + [0] * 7
    for start in range(8 * len(data)):
        if bits[start]:
            for offset, bit in enumerate((1, 0, 0, 0, 1, 0, 0, 1)):
                bits[start + offset] ^= bit
    return sum(bit << n for n, bit in enumerate(bits[-7:]))
