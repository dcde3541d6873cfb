"""Our firmware, Arduino's own bootloader and the real avrdude, with an ATmega2560 in simavr: what `MegaBoard` stands for.

Runs where Debian's arduino-core-avr (190 kB) is installed; in real time, about two minutes.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import serial

from bin_daemon.lids import waking
from bin_daemon.technician.avrdude import Avrdude
from bin_daemon.technician.firmware import Flasher, Plan
from bin_daemon.technician.firmware_image import Image, image_of, read_image
from bin_daemon.technician.firmware_store import FirmwareStore
from bin_daemon.technician.link import SilentError, opened_link
from tests.firmware_protocol.bodies.build import build_image, run
from tests.technician.mega_board import FIRST_BYTE_S, NEXT_BYTE_S

BOOTLOADER = Path("/usr/share/arduino/hardware/arduino/avr/bootloaders/stk500v2/stk500boot_v2_mega2560.hex")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BOOTLOADER.exists(), reason="apt-get install arduino-core-avr"),
]
Once = Callable[[str, Callable[[Path], Path]], Path]


class Mega(NamedTuple):
    """The board on its cable, and what it tells about itself."""

    port: str
    process: subprocess.Popen[str]

    def enters(self) -> tuple[str, float]:
        """The next change: "bootloader" or "program", and the board's own seconds since its reset."""
        assert self.process.stdout
        name, ms = self.process.stdout.readline().split()
        return name, float(ms) / 1000


@pytest.fixture(autouse=True)
def busy_computer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the board's own time may fall behind ours; its BOOT ends the waiting."""
    monkeypatch.setattr(waking, "QUIET_S", 20.0)


@pytest.fixture
def program(build_once: Once) -> Path:
    """What `make firmware` builds."""
    return build_once("image", build_image).with_suffix(".hex")


@pytest.fixture
def emulator(build_once: Once) -> Path:
    """The emulated board, compiled."""

    def compiled(folder: Path) -> Path:
        source, made = Path(__file__).with_name("c") / "mega_usb.c", folder / "mega_usb"
        flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-isystem", "/usr/include/simavr"]
        run(["gcc", *flags, str(source), "-o", str(made), "-lsimavr", "-lelf", "-lutil"])
        return made

    return build_once("mega_usb", compiled)


@contextmanager
def plugged(emulator: Path, folder: Path, *images: Path, auto_reset: bool = True) -> Iterator[Mega]:
    """Switched on."""
    link = folder / "tty"
    command = [str(word) for word in (emulator, link, int(auto_reset), BOOTLOADER, *images)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            board = Mega(str(link), process)
            assert board.enters()[0] == "bootloader"
            if images:
                assert board.enters()[0] == "program"
            yield board
        finally:
            process.kill()


class Somebody:
    """Agrees."""

    def say(self, text: str) -> None:
        """See `Person`."""

    def agrees(self, _: Plan) -> bool:
        """See `Person`."""
        return True


def longer(image: Image) -> Image:
    """The same program with a tail: other bytes that run just as well."""
    return image_of(image.data + b"\x55" * 300)


def test_how_long_it_waits(emulator: Path, program: Path, tmp_path: Path) -> None:
    """For a first byte, and after one: the figures that `lids.waking` and `MegaBoard` go by."""
    with plugged(emulator, tmp_path, program) as board:
        with serial.Serial(board.port):
            assert board.enters()[0] == "bootloader"
            name, after_s = board.enters()
        assert name == "program"
        assert after_s == pytest.approx(FIRST_BYTE_S, abs=0.1)
        with serial.Serial(board.port) as port:
            assert board.enters()[0] == "bootloader"
            time.sleep(0.4)
            port.write(b"\x00")
            name, after_s = board.enters()
        assert name == "program"
        assert (
            4.0 < after_s < FIRST_BYTE_S + NEXT_BYTE_S + 0.5
        )  # Arduino's own file waits 9.3 s, Debian's build of it 4.8 s


def test_hello_at_once_holds_it_for_ever(emulator: Path, program: Path, tmp_path: Path) -> None:
    """Why `wait_until_awake`: with it the same board answers at once."""
    with plugged(emulator, tmp_path, program) as board:
        with opened_link(board.port, 115200) as link, pytest.raises(SilentError):
            link.hello(12.0)
        with pytest.MonkeyPatch.context() as patch, opened_link(board.port, 115200) as link:
            patch.setattr(waking, "has_modem_lines", lambda _: True)
            assert link.hello(2.0).lids == 4


@pytest.mark.parametrize("auto_reset", [True, False], ids=["with DTR", "RESET-EN cut"])
def test_flash_verify_and_recover(
    emulator: Path,
    program: Path,
    tmp_path: Path,
    auto_reset: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A new image on a running board, checked byte by byte; with DTR also on one whose program is gone."""
    monkeypatch.setattr(waking, "has_modem_lines", lambda _: auto_reset)
    old, store = read_image(program), FirmwareStore(tmp_path / "state")
    store.update(flashed=store.keep(old, ""))  # saves reading all of the flash
    with (
        plugged(emulator, tmp_path, program, auto_reset=auto_reset) as board,
        opened_link(board.port, 115200) as link,
    ):
        flasher = Flasher(link, Avrdude(board.port, lambda *_: None), store, Somebody())
        controller = flasher.flash(longer(old), "longer.hex", force=True)
        assert controller
        assert controller.identity == old.identity
        assert flasher.verify(longer(old))
        assert not flasher.verify(image_of(old.data[:-1] + b"\x00\x01"))
    previous = store.manifest().previous
    assert previous
    assert previous.sha256 == old.sha256


def test_a_blank_one(emulator: Path, program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the bootloader is on it."""
    monkeypatch.setattr(waking, "has_modem_lines", lambda _: True)
    with plugged(emulator, tmp_path) as board, opened_link(board.port, 115200) as link:
        flasher = Flasher(
            link, Avrdude(board.port, lambda *_: None), FirmwareStore(tmp_path / "state"), Somebody(), hello_s=1.0
        )
        assert flasher.flash(read_image(program), "mega2560.hex", recover=True)
