"""The real avrdude against the emulated bootloader, and what it says understood."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bin_daemon.errors import ConfigError, DeviceError
from bin_daemon.technician import avrdude_says as says
from bin_daemon.technician.avrdude import Avrdude
from bin_daemon.technician.avrdude_says import CutOffError, NoSyncError, VerifyError, WrongBoardError
from bin_daemon.technician.firmware_image import image_of
from tests.technician.mega_board import MegaBoard, program_image
from tests.technician.mega_bootloader import Faults

OLD, NEW = program_image((1, 0, 0)), program_image((1, 1, 0), size=5000)
Plug = Callable[[Faults], MegaBoard]


@pytest.fixture
def plug(tmp_path: Path) -> Iterator[Plug]:
    """A board in its bootloader, with the faults asked for; OLD is on it."""
    with ExitStack() as stack:

        def make(faults: Faults) -> MegaBoard:
            board = stack.enter_context(MegaBoard(tmp_path / "tty", [OLD, NEW], OLD, faults=faults, first_byte_s=9.0))
            board.power_cycle()
            return board

        yield make


def avrdude(board: MegaBoard, sync_s: float = 8.0) -> Avrdude:
    """With short patience, once the bootloader has answered."""
    return Avrdude(board.path, lambda *_: None, sync_s=sync_s, stall_s=1.5)


def test_the_whole_flash_is_read(plug: Plug) -> None:
    """All below the bootloader; what the board holds is found in it; progress is told up to the end."""
    seen: list[tuple[str, float]] = []
    board = plug(Faults())
    data = Avrdude(board.path, lambda *there: seen.append(there)).read_all()
    assert len(data) in {0x3E000, len(OLD.data)}  # avrdude 7, avrdude 6
    assert image_of(data) == OLD
    assert seen[-1] == ("reading", 1.0)


def test_written_bytes_are_there_and_nothing_else(plug: Plug) -> None:
    """Write, then read as many bytes as the image has; pages behind it keep what they held; the program starts."""
    board = plug(Faults())
    seen: list[tuple[str, float]] = []
    Avrdude(board.path, lambda *there: seen.append(there)).write(NEW)
    assert seen[-1] == ("reading", 1.0)  # it reads back by itself
    assert bytes(board.flash[: len(NEW.data)]) == NEW.data
    assert bytes(board.flash[5120 : len(OLD.data)]) == OLD.data[5120:]
    assert board.runs == NEW.identity
    board.power_cycle()
    assert avrdude(board).read(len(NEW.data)) == NEW.data


@pytest.mark.parametrize(
    ("faults", "kind", "said"),
    [
        (Faults(deaf=True), NoSyncError, "does not answer"),
        (Faults(signature=b"\x1e\x95\x0f"), WrongBoardError, "no ATmega2560 .signature 0x1e950f"),
        (Faults(stuck_low={1000: 0xFF}), VerifyError, "first at 0x03e8"),
        (Faults(cut_at_page=8), CutOffError, "stopped answering"),
        (Faults(unplug_at_page=8), CutOffError, "stopped answering"),
    ],
    ids=["deaf", "other chip", "stuck bits", "supply gone", "unplugged"],
)
def test_faults(plug: Plug, faults: Faults, kind: type[DeviceError], said: str) -> None:
    """Each is told apart, for what is on the board differs; and it ends soon, though avrdude itself would try for minutes."""
    board = plug(faults)
    begun = time.monotonic()
    with pytest.raises(kind, match=said) as caught:
        avrdude(board, sync_s=0.8 if faults.deaf else 2.5).write(NEW)
    assert caught.value.hint
    assert time.monotonic() - begun < 20
    assert (board.pages_written > 0) == (kind in {CutOffError, VerifyError})


def test_a_lost_answer_is_mended_by_starting_afresh(plug: Plug) -> None:
    """One byte lost on the line: avrdude's own repeat would shift pages; a second run from page 0 does not."""
    board = plug(Faults(lost_answer=7))
    avrdude(board).write(NEW)
    assert bytes(board.flash[: len(NEW.data)]) == NEW.data
    assert board.pages_written > 20


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Python's own way with SIGINT, also where the shell had it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_does_not_stop_a_write(plug: Plug) -> None:
    """Half a firmware helps nobody. Afterwards Ctrl-C works as before."""
    board = plug(Faults())

    def press() -> None:
        end = time.monotonic() + 10
        while board.pages_written < 3 and time.monotonic() < end:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    finger = threading.Thread(target=press)
    finger.start()
    avrdude(board).write(NEW)
    finger.join()
    assert board.runs == NEW.identity
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_no_port() -> None:
    """A name that is not there."""
    with pytest.raises(NoSyncError, match="the port is gone"):
        Avrdude("/dev/serial/by-id/none", lambda *_: None, sync_s=1.0).read_all()


def test_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty PATH: the package's name, before anything is touched."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="avrdude is not installed") as caught:
        Avrdude("/dev/ttyACM0", lambda *_: None).check_installed()
    assert caught.value.hint == "sudo apt-get install avrdude"


def test_no_room_for_its_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The folder for temporary files is gone or full."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="no place for avrdude's files") as caught:
        Avrdude("/dev/ttyACM0", lambda *_: None).read_all()
    assert "TMPDIR" in caught.value.hint


READY_6 = "avrdude: AVR device initialized and ready to accept instructions\n"


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        (  # 6.3, ser_posix.c
            'avrdude: ser_open(): can\'t open device "/dev/ttyACM0": Permission denied',
            DeviceError,
            "no permission",
        ),
        (  # 7.1
            "avrdude ser_open() OS error: cannot open port /dev/ttyACM0: Device or resource busy",
            DeviceError,
            "another program",
        ),
        ('avrdude: ser_open(): can\'t open device "/dev/ttyACM0": No such file or directory', NoSyncError, "is gone"),
        ("avrdude: stk500v2_ReceiveMessage(): timeout", NoSyncError, "does not answer"),  # 6.3
        (f"{READY_6}avrdude: stk500v2_ReceiveMessage(): timeout", CutOffError, "stopped answering"),
        (  # 6.3
            "avrdude: Device signature = 0x1e950f (probably m328p)\navrdude: Expected signature for ATmega2560 is 1E 98 01",
            WrongBoardError,
            "0x1e950f",
        ),
        (  # 8.0
            "device signature = 1E 95 0F (ATmega328P)\nError: expected signature for ATmega2560 is 1E 98 01",
            WrongBoardError,
            "1E 95 0F",
        ),
        (  # 6.3
            f"{READY_6}avrdude: verification error, first mismatch at byte 0x0123\n0x00 != 0x11",
            VerifyError,
            "first at 0x0123",
        ),
        ("Error: flash verification mismatch", VerifyError, "first at an unknown place"),  # 8.0
        (f"{READY_6}avrdude: stk500v2_command(): command failed", CutOffError, "command failed"),
        ("avrdude: error: programm enable: target doesn't answer. 1", DeviceError, "target doesn't answer"),
        ("", NoSyncError, "does not answer"),  # ended without a word
    ],
)
def test_its_messages_through_the_years(text: str, kind: type[DeviceError], said: str) -> None:
    """Lines of avrdude 6.3, 7.1 and 8.0, as their sources print them."""
    error = says.error(says.heard(text.encode()), "/dev/ttyACM0")
    assert type(error) is kind
    assert said in str(error)
    assert error.hint


def test_a_port_without_modem_lines_is_no_error() -> None:
    """A pty: avrdude cannot pulse DTR there, says so, and goes on."""
    line = b'avrdude ser_set_dtr_rts() OS error: ioctl("TIOCMGET"): Inappropriate ioctl for device\n'
    assert not says.hopeless(says.heard(line))
    assert says.heard(line) == ""


def test_the_table_of_verbose_mode_is_no_timeout() -> None:
    """With -v it prints the part's timings first: "Timeout: 200"."""
    assert not says.hopeless("         Timeout                       : 200\n")
