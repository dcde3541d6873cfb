"""An Arduino Mega 2560 behind a pty: its bootloader, 256 KB of flash, and the controller that lies in it.

A pty has no DTR. But every program that would pulse it (pyserial, avrdude) throws away its input at the same time, and a pty in
packet mode tells of that: a board with ``auto_reset`` takes it for the pulse. One without is like a board whose RESET-EN is cut:
only ENTER_BOOTLOADER, the supply, or a flash without a program leads into its bootloader.
"""

from __future__ import annotations

import fcntl
import random
import struct
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bin_daemon.sim.board import Board
from bin_daemon.sim.plant import PlantSettings
from bin_daemon.sim.pty import PtyPort
from bin_daemon.technician.firmware_image import MAGIC, Identity, Image, image_of
from firmware_protocol import messages as msg
from firmware_protocol.messages import Caps, ResetCause
from firmware_protocol.reference import SIM_CAPS, ReferenceController
from tests.technician.mega_bootloader import FLASH, Bootloader, Faults

FIRST_BYTE_S, NEXT_BYTE_S = 0.84, 9.3
"""How long the bootloader waits before it starts the program: for a first byte, and after each one. Measured with Arduino's
stk500boot_v2_mega2560.hex in simavr."""
TIOCPKT_FLUSHREAD = 1
UID = bytes.fromhex("a1b2c3d4e5f6")


class Program(ReferenceController):
    """The controller's firmware; it says of itself what its image says."""

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

    def restart(self, bootloader: bool) -> None:  # noqa: FBT001 - signature of the HAL
        """See `Board`."""
        super().restart(bootloader)
        self.bootloader_wanted = bootloader


class MegaBoard:
    """The board on its cable; a context manager. ``programs``: the images that run when the flash holds them whole."""

    def __init__(
        self,
        link: Path,
        programs: Sequence[Image],
        flashed: Image | None = None,
        *,
        faults: Faults | None = None,
        auto_reset: bool = False,
        first_byte_s: float = FIRST_BYTE_S,
    ) -> None:
        self.faults = faults or Faults()
        self.flash = bytearray(b"\xff" * FLASH)
        if flashed:
            self.flash[: len(flashed.data)] = flashed.data
        self.programs = list(programs)
        self.board = MotherBoard(PlantSettings(), 120.0, 12_000)
        self.bootloader: Bootloader | None = None
        self.program: Program | None = None
        self.pages_written = 0
        self.bootloader_entries = 0
        self.powered = True
        self._auto_reset, self._first_byte_s = auto_reset, first_byte_s
        self._port = PtyPort(link)
        if auto_reset and self._port._master is not None:
            fcntl.ioctl(self._port._master, termios.TIOCPKT, struct.pack("i", 1))
        self.path = self._port.path
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._quiet_until_s = 0.0
        self._last_s = time.monotonic()
        self._start_program(ResetCause.POWER_ON)
        self._thread = threading.Thread(target=self._run, name="mega-board", daemon=True)

    def __enter__(self) -> MegaBoard:  # noqa: PYI034 - typing.Self is younger than Python 3.10
        self._turn(b"")  # the BOOT of its power-on is out before anybody can open the port
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._port.unplug()

    @property
    def runs(self) -> Identity | None:
        """What runs on it now."""
        with self._lock:
            return self.program._identity if self.program else None

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
        self.bootloader_entries += 1
        self._quiet_until_s = time.monotonic() + self._first_byte_s

    def _start_program(self, cause: ResetCause) -> None:
        """The image that lies in the flash. One with anything else hangs in itself; an empty one in the bootloader."""
        if self.flash[:2] == b"\xff\xff":
            self._enter_bootloader()
            return
        self.bootloader = self.program = None
        for program in self.programs:
            if program.identity and self.flash[: len(program.data)] == program.data:
                self.program = Program(self.board, program.identity, self.faults.says, now_ms=_now_ms(), cause=cause)

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                data = self._read()
                self._turn(data or b"")
            if data is None:
                self._stop.wait(0.005)
            elif not data:
                self._port.wait(0.005)

    def _read(self) -> bytes | None:
        """In packet mode the first byte says what the rest is: 0 data, else what the host did to its end."""
        data = self._port.read(0)
        if not self._auto_reset or not data:
            return data
        if data[0] & TIOCPKT_FLUSHREAD and self.powered:
            self._enter_bootloader()
        return data[1:] if data[0] == 0 else b""

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


def _now_ms() -> int:
    return int(time.monotonic() * 1000) & 0xFFFFFFFF


def program_image(
    version: tuple[int, int, int] = (1, 0, 0), *, git: int = 0x1111, size: int = 6000, board: int = 1, protocol: int = 1
) -> Image:
    """A program that only `MegaBoard` can run: random bytes around an identification block."""
    body = bytearray(random.Random(f"{version}{git}{board}").randbytes(size))
    body[:4] = b"\x0c\x94\x00\x01"  # a jump, as at the start of every program
    body[-1] = 0x5A
    block = MAGIC + struct.pack("<4BI2B", board, *version, git, protocol, 0)
    body[300 : 300 + len(block)] = block
    return image_of(bytes(body))
