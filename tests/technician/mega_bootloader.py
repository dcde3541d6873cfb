"""Arduino's bootloader of the Mega 2560 (ArduinoCore-avr, bootloaders/stk500v2/stk500boot.c), command for command (AVR068).

Odd corners included: pages are erased one after the other from page 0 up, wherever the host writes; a chip erase says FAILED.
"""

from __future__ import annotations

import functools
import operator
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

FLASH = 0x40000
PAGE = 256
APP_END = 0x3E000
START, TOKEN = 0x1B, 0x0E
OK, FAILED = 0x00, 0xC0


@dataclass
class Faults:
    """What is wrong with a board. Addresses are of bytes."""

    stuck_low: dict[int, int] = field(default_factory=dict)
    """Address: bits that read 0 whatever was written."""
    signature: bytes = b"\x1e\x98\x01"
    deaf: bool = False
    """The bootloader receives and never answers."""
    page_s: float = 0.0
    """Writing one page takes so long."""
    lost_answer: int | None = None
    """The answer to this page's write gets lost, once."""
    cut_at_page: int | None = None
    """The supply goes when so many pages are written, and stays away until `power_cycle`."""
    unplug_at_page: int | None = None
    says: dict[str, Any] = field(default_factory=dict)
    """Fields of HELLO_ACK that the program gets wrong."""
    mute: bool = False
    """The program runs and never answers."""


class Bootloader:
    """Bytes in, answers out; ``left``: the host sent it away."""

    def __init__(self, flash: bytearray, faults: Faults) -> None:
        self.flash, self.faults = flash, faults
        self.left = False
        self.pages_written = 0
        self._held = b""
        self._address = 0
        self._erase = 0

    def receive(self, data: bytes) -> bytes:
        """Whole messages are answered: 1B, sequence, length, 0E, body, XOR of all that."""
        self._held += data
        answers = b""
        while (start := self._held.find(START)) >= 0 and len(self._held) >= start + 6:
            self._held = self._held[start:]
            sequence, length, token = struct.unpack_from(">BHB", self._held, 1)
            if token != TOKEN:
                self._held = self._held[1:]
            elif len(self._held) < length + 6:
                break
            else:
                message, self._held = self._held[: length + 6], self._held[length + 6 :]
                answers += self._answer(sequence, message)
        return answers

    def _answer(self, sequence: int, message: bytes) -> bytes:
        if xor(message) or self.faults.deaf:
            return b""
        body = message[5:-1]
        said = body[:1] + self._COMMANDS.get(body[0], Bootloader._unknown)(self, body)
        head = struct.pack(">BBHB", START, sequence, len(said), TOKEN)
        if self.pages_written == self.faults.lost_answer:
            self.faults.lost_answer = None
            return b""
        return head + said + bytes([xor(head + said)])

    def _sign_on(self, _: bytes) -> bytes:
        return b"\x00\x08AVRISP_2"

    def _parameter(self, body: bytes) -> bytes:
        return bytes([OK, {0x90: 0x0F, 0x91: 0x02, 0x92: 0x0A}.get(body[1], 0)])

    def _accept(self, _: bytes) -> bytes:
        return bytes([OK])

    def _leave(self, _: bytes) -> bytes:
        self.left = True
        return bytes([OK])

    def _load_address(self, body: bytes) -> bytes:
        self._address = (struct.unpack_from(">I", body, 1)[0] << 1) % FLASH  # of words; bit 31 only says: above 64 KB
        return bytes([OK])

    def _spi_multi(self, body: bytes) -> bytes:
        value = self.faults.signature[min(body[6], 2)] if body[4] == 0x30 else 0
        return bytes([OK, 0, body[4], 0, value, OK])

    def _signature(self, body: bytes) -> bytes:
        return bytes([OK, self.faults.signature[min(body[4], 2)], OK])

    def _read(self, body: bytes) -> bytes:
        size = struct.unpack_from(">H", body, 1)[0]
        start, self._address = self._address, self._address + size
        data = self.flash[start : start + size]
        for address, bits in self.faults.stuck_low.items():
            if start <= address < start + size:
                data[address - start] &= ~bits
        return bytes([OK, *data, OK])

    def _program(self, body: bytes) -> bytes:
        size = struct.unpack_from(">H", body, 1)[0]
        if self._erase < APP_END:
            self.flash[self._erase : self._erase + PAGE] = b"\xff" * PAGE
            self._erase += PAGE
        for offset, value in enumerate(body[10 : 10 + size]):
            self.flash[self._address + offset] &= value  # flash only goes from 1 to 0
        self._address += size
        self.pages_written += 1
        time.sleep(self.faults.page_s)
        return bytes([OK])

    def _chip_erase(self, _: bytes) -> bytes:
        self._erase = 0
        return bytes([FAILED])

    def _unknown(self, _: bytes) -> bytes:
        return bytes([FAILED])

    _COMMANDS: ClassVar[dict[int, Callable[[Bootloader, bytes], bytes]]] = {
        0x01: _sign_on,
        0x02: _accept,  # SET_PARAMETER
        0x03: _parameter,
        0x06: _load_address,
        0x10: _accept,  # ENTER_PROGMODE_ISP
        0x11: _leave,
        0x12: _chip_erase,
        0x13: _program,
        0x14: _read,
        0x1B: _signature,
        0x1D: _spi_multi,
    }


def xor(data: bytes) -> int:
    """Of all bytes: 0 over a whole message."""
    return functools.reduce(operator.xor, data, 0)
