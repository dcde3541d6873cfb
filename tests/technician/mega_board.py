"""An Arduino Mega 2560 behind a pty: Arduino's stk500v2 bootloader over 256 KB of flash, and the controller that lies in it.

The bootloader does what ArduinoCore-avr's bootloaders/stk500v2/stk500boot.c does, command for command (AVR068), odd corners included: pages are erased
one after the other from page 0 up, wherever the host writes; a chip erase fails; without a first word at 0 it never leaves.
A pty has no DTR, so only ENTER_BOOTLOADER, `power_cycle` or a flash without a program leads into it.
"""

from __future__ import annotations

import contextlib
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bin_daemon.sim.board import Board
from bin_daemon.sim.plant import PlantSettings
from bin_daemon.sim.pty import PtyPort
from bin_daemon.technician.firmware_image import Identity, Image
from firmware_protocol import messages as msg
from firmware_protocol.messages import Caps, ResetCause
from firmware_protocol.reference import SIM_CAPS, ReferenceController

FLASH = 0x40000
PAGE = 256
APP_END = 0x3E000
OK, FAILED = 0x00, 0xC0
FIRST_BYTE_S, NEXT_BYTE_S = 1.0, 4.0
"""How long the bootloader waits before it starts the program: for a first byte, and for each one after that."""
UID = bytes.fromhex("a1b2c3d4e5f6")


@dataclass
class Faults:
    """What is wrong with this board. Addresses are of bytes."""

    stuck_low: dict[int, int] = field(default_factory=dict)
    """Address: bits that read 0 whatever was written."""
    signature: bytes = b"\x1e\x98\x01"
    deaf: bool = False
    """The bootloader receives and never answers."""
    cut_at_page: int | None = None
    """The power goes when this many pages have been written, and stays away until `power_cycle`."""
    unplug_at_page: int | None = None
    says: dict[str, Any] = field(default_factory=dict)
    """Fields of HELLO_ACK that the program gets wrong."""
    mute: bool = False
    """The program runs and never answers."""


class Bootloader:
    """Commands in, answers out."""

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
        while (start := self._held.find(b"\x1b")) >= 0 and len(self._held) >= start + 6:
            self._held = self._held[start:]
            sequence, length, token = struct.unpack_from(">BHB", self._held, 1)
            if token != 0x0E:
                self._held = self._held[1:]
            elif len(self._held) < length + 6:
                break
            else:
                message, self._held = self._held[: length + 6], self._held[length + 6 :]
                if _xor(message) == 0 and not self.faults.deaf:
                    body = self._do(message[5:-1])
                    head = struct.pack(">BBHB", 0x1B, sequence, len(body), 0x0E)
                    answers += head + body + bytes([_xor(head + body)])
        return answers

    def _do(self, body: bytes) -> bytes:
        command = body[0]
        if command == 0x01:  # SIGN_ON
            return b"\x01\x00\x08AVRISP_2"
        if command == 0x03:  # GET_PARAMETER
            return bytes([command, OK, {0x90: 0x0F, 0x91: 0x02, 0x92: 0x0A}.get(body[1], 0)])
        if command == 0x11:  # LEAVE_PROGMODE_ISP
            self.left = True
        if command in {0x02, 0x10, 0x11}:  # SET_PARAMETER, ENTER_PROGMODE_ISP
            return bytes([command, OK])
        if command == 0x06:  # LOAD_ADDRESS, of words; bit 31 asks for the extended address
            self._address = (struct.unpack_from(">I", body, 1)[0] << 1) & (FLASH - 1)
            return bytes([command, OK])
        if command == 0x1D and body[4] == 0x30:  # SPI_MULTI: read signature
            return bytes([command, OK, 0, body[4], 0, self.faults.signature[min(body[6], 2)], OK])
        if command == 0x1B:  # READ_SIGNATURE_ISP
            return bytes([command, OK, self.faults.signature[min(body[4], 2)], OK])
        if command == 0x13:  # PROGRAM_FLASH_ISP
            return self._program(body)
        if command == 0x14:  # READ_FLASH_ISP
            size = struct.unpack_from(">H", body, 1)[0]
            start, self._address = self._address, self._address + size
            return bytes([command, OK, *map(self._read, range(start, start + size)), OK])
        if command == 0x1D:
            return bytes([command, OK, 0, body[4], 0, 0, OK])
        if command == 0x12:  # CHIP_ERASE_ISP: only rewinds, and says so
            self._erase = 0
        return bytes([command, FAILED])

    def _read(self, address: int) -> int:
        return self.flash[address % FLASH] & ~self.faults.stuck_low.get(address % FLASH, 0)

    def _program(self, body: bytes) -> bytes:
        size = struct.unpack_from(">H", body, 1)[0]
        if self._erase < APP_END:
            self.flash[self._erase : self._erase + PAGE] = b"\xff" * PAGE
            self._erase += PAGE
        for offset, value in enumerate(body[10 : 10 + size]):
            self.flash[self._address + offset] &= value  # flash only goes from 1 to 0
        self._address += size
        self.pages_written += 1
        return bytes([body[0], OK])


class Program(ReferenceController):
    """The controller's firmware; it says of itself what the image says."""

    def __init__(self, board: MotherBoard, identity: Identity, says: dict[str, Any], **rest: Any) -> None:
        self._identity, self._says = identity, says
        super().__init__(board, caps=SIM_CAPS | Caps.BOOTLOADER, uid=UID, **rest)

    def _ack(self) -> msg.HelloAck:
        who = self._identity
        major, minor, patch = who.version
        fields = {"fw_major": major, "fw_minor": minor, "fw_patch": patch, "git": who.git, "board": who.board}
        return replace(super()._ack(), **{**fields, **self._says})


class MotherBoard(Board):
    """Simulated sensors and servos; remembers whether the bootloader was asked for."""

    bootloader_wanted = False

    def restart(self, bootloader: bool) -> None:
        """See `Board`."""
        super().restart(bootloader)
        self.bootloader_wanted = bootloader


class MegaBoard:
    """The board on its cable; a context manager. ``programs``: images that run when the flash holds them whole."""

    def __init__(self, link: Path, programs: list[Image], flashed: Image | None = None, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.flash = bytearray(b"\xff" * FLASH)
        if flashed:
            self.flash[: len(flashed.data)] = flashed.data
        self.programs = programs
        self.board = MotherBoard(PlantSettings(), 120.0, 12_000)
        self.bootloader: Bootloader | None = None
        self.program: Program | None = None
        self.pages_written = 0
        self.powered = True
        self._port = PtyPort(link)
        self.path = self._port.path
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._quiet_until_s = 0.0
        self._last_s = time.monotonic()
        self._start_program(ResetCause.POWER_ON)
        self._thread = threading.Thread(target=self._run, name="mega-board", daemon=True)

    def __enter__(self) -> MegaBoard:  # noqa: PYI034 - typing.Self is younger than Python 3.10
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._port.unplug()

    def power_cycle(self) -> None:
        """Off and on: the bootloader gets its chance, then the program."""
        with self._lock:
            self.powered = True
            self._enter_bootloader()

    @contextmanager
    def held(self) -> Iterator[MotherBoard]:
        """Hands on the sensors while nothing else runs."""
        with self._lock:
            yield self.board

    def _enter_bootloader(self) -> None:
        self.program = None
        self.bootloader = Bootloader(self.flash, self.faults)
        self._quiet_until_s = time.monotonic() + FIRST_BYTE_S

    def _start_program(self, cause: ResetCause) -> None:
        """The image that lies in the flash; a flash with anything else hangs in the bootloader, or in itself."""
        if self.flash[:2] == b"\xff\xff":
            self._enter_bootloader()
            return
        self.bootloader = self.program = None
        for image in self.programs:
            if image.identity and self.flash[: len(image.data)] == image.data:
                self.program = Program(
                    self.board, image.identity, self.faults.says, now_ms=_now_ms(), cause=cause
                )

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                data = self._port.read(0)
                self._turn(data or b"")
            if data is None:
                self._stop.wait(0.005)
            elif not data:
                self._port.wait(0.005)

    def _turn(self, data: bytes) -> None:
        now = time.monotonic()
        self.board.advance(now - self._last_s)
        self._last_s = now
        if not self.powered:
            return
        if self.bootloader:
            self._turn_bootloader(self.bootloader, data, now)
        elif self.program:
            self._turn_program(self.program, data)

    def _turn_bootloader(self, boot: Bootloader, data: bytes, now: float) -> None:
        before = boot.pages_written
        answers = boot.receive(data)
        self.pages_written += boot.pages_written - before
        if self.pages_written == self.faults.cut_at_page:
            self.faults.cut_at_page, self.powered = None, False
            return
        if self.pages_written == self.faults.unplug_at_page:
            self._port.unplug()
            return
        self._port.write(answers)
        if data:
            self._quiet_until_s = now + NEXT_BYTE_S
        if boot.left or now > self._quiet_until_s:
            self._start_program(ResetCause.EXTERNAL)

    def _turn_program(self, program: Program, data: bytes) -> None:
        program.receive(data, _now_ms())
        program.tick(_now_ms())
        answers = program.take_output()
        if not self.faults.mute:
            self._port.write(answers)
        if self.board.restart_wanted:
            self.board.restart_wanted = False
            if self.board.bootloader_wanted:
                self._enter_bootloader()
            else:
                program.reset(ResetCause.WATCHDOG, _now_ms())


def _xor(data: bytes) -> int:
    total = 0
    for value in data:
        total ^= value
    return total


def _now_ms() -> int:
    return int(time.monotonic() * 1000) & 0xFFFFFFFF
