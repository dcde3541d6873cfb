"""The real image in simavr as a body."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from firmware_protocol import messages as m
from tests.firmware_protocol.bodies.body import ALL_NEEDS, Fitting
from tests.firmware_protocol.bodies.lockstep import LockstepBody

EEPROM_BYTES = 4096


@dataclass(frozen=True)
class Work:
    """What the CPU did, by the pin that is high while it works."""

    longest_cycles: int
    cycles: int
    stack_bytes: int
    """The most that the stack has held since the reset."""


class AvrBody(LockstepBody):
    """`program` is what `compile_avr_body` made, ``image`` an ELF for the ATmega2560."""

    name = "avr"
    can = ALL_NEEDS - {"no_time", "blind", "fitting", "clock", "shown"}
    answer_ms = 15
    """A HELLO_ACK is 3.5 ms of bytes, and telemetry and events may be on the line before it."""
    boot_ms = 140
    """The very first start also chooses the board's id and stores it."""

    def __init__(self, program: Path, image: Path) -> None:
        super().__init__([str(program), str(image)], Fitting())
        self.frames_ms: list[float] = []
        """When each frame's last byte had left."""

    def told(self, data: bytes, t_ms: float) -> None:
        """Keep the time of each frame."""
        if data.endswith(b"\x00"):
            self.frames_ms.append(t_ms)

    def damage_calibration(self, cal: m.Calibration) -> None:
        """The whole EEPROM: where the image keeps it is the image's own affair."""
        noise = bytes((cal.lid * 7 + n * 31 + 0x5A) % 256 for n in range(EEPROM_BYTES))
        self.write_eeprom(0, noise)

    def write_eeprom(self, at: int, data: bytes) -> None:
        """From outside, in no time."""
        self._put("E", struct.pack("<H", at) + data)

    def hang(self, *, interrupts: bool = True) -> None:
        """The main loop stands still; interrupts go on, or not."""
        self._put("H", bytes([interrupts]))

    def work(self) -> Work:
        """CPU load since the last call."""
        self._put("W", b"")
        self.step(0)
        return self._work

    _work = Work(0, 0, 0)

    def _note(self, tag: str, t_ms: float, body: bytes) -> None:
        if tag == "W":
            self._work = Work(*struct.unpack("<IQH", body))
        else:
            super()._note(tag, t_ms, body)
