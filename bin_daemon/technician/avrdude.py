"""avrdude, run for an Arduino Mega 2560 with its own bootloader: flash only, never EEPROM (calibration) or fuses.

Always ``-D``: the bootloader refuses a chip erase, and erases page by page itself. On a port without modem lines (a pty)
``-c wiring`` complains that it cannot pulse DTR and goes on; the board must then be in its bootloader already.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import psutil

from bin_daemon.errors import ConfigError
from bin_daemon.technician import avrdude_says as says
from bin_daemon.technician.avrdude_says import CutOffError, NoSyncError
from bin_daemon.technician.firmware_image import APP_END, ERASED, write_hex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bin_daemon.technician.firmware_image import Image

PROGRAM = "avrdude"
COMMAND = ("-v", "-p", "m2560", "-c", "wiring", "-b", "115200", "-D")
"""``-v``, for avrdude 8 tells only then that the bootloader answered. The Mega's bootloader knows no other speed."""
SYNC_S = 4.0
"""avrdude waits 5 s for each answer; by then the bootloader has started the program. A fresh start resets the board again."""
STALL_S = 10.0
"""No word from avrdude for so long: a page takes 30 ms."""
CPU_S = 60
"""Of the processor's time; a whole flash needs few seconds of it. A cable pulled after our own death leaves avrdude 7.1
spinning, with the port's lock in its hand."""
LOOK_S = 0.02


class Avrdude:
    """One board on one port. ``progress`` gets ("reading" or "writing", 0..1).

    ``lock``: the descriptor by which the caller holds the port. avrdude locks nothing itself; it inherits this one, so that the
    port stays locked while it works, even when the caller has died.
    All methods raise `DeviceError` (kinds in `avrdude_says`), and ConfigError where avrdude is not installed.
    """

    def __init__(
        self,
        port: str,
        progress: Callable[[str, float], None],
        *,
        lock: int | None = None,
        sync_s: float = SYNC_S,
        stall_s: float = STALL_S,
    ) -> None:
        self._port, self._progress = port, progress
        self._inherited = () if lock is None else (lock,)
        self._sync_s, self._stall_s = sync_s, stall_s

    def check_installed(self) -> None:
        """Raise ConfigError before anything is touched."""
        if shutil.which(PROGRAM) is None:
            raise ConfigError("avrdude is not installed", hint="sudo apt-get install avrdude")

    def read_all(self) -> bytes:
        """All of the flash but the bootloader: half a minute at 115200 baud. avrdude 6 leaves erased bytes at the end away."""
        with _scratch() as folder:
            file = folder / "flash.bin"
            self._run(folder, ["-U", f"flash:r:{file}:r"])
            return file.read_bytes()[:APP_END]

    def read(self, length: int) -> bytes:
        """The first ``length`` bytes, through avrdude's terminal, which reads no more than these; else (another form) all."""
        with _scratch() as folder:
            found = says.dumped(self._run(folder, ["-t"], talk=f"dump flash 0 {length}\nquit\n"))
        if len(found) < length:
            found = self.read_all().ljust(length, bytes([ERASED]))
        return found[:length]

    def write(self, image: Image) -> None:
        """Write from address 0 on; avrdude reads it back and compares.

        Once begun, neither Ctrl-C nor a lost terminal stops it: half a firmware helps nobody.
        """
        with _scratch() as folder, _undisturbed():
            file = folder / "image.hex"
            file.write_bytes(write_hex(image))
            self._run(folder, ["-U", f"flash:w:{file}:i"])

    def _run(self, folder: Path, words: Sequence[str], *, talk: str = "") -> str:
        """Twice: a fresh start resets the board and begins at page 0, which mends a lost byte; avrdude's own repeats do not."""
        cut_off = None
        with contextlib.suppress(NoSyncError):
            try:
                return self._once(folder, words, talk)
            except CutOffError as error:
                cut_off = error
        try:
            return self._once(folder, words, talk)
        except NoSyncError:
            if cut_off:  # then it is not true that nothing was written
                raise cut_off from None
            raise

    def _once(self, folder: Path, words: Sequence[str], talk: str) -> str:
        """Its messages go to files: a pipe would kill it when this process dies."""
        asked, told, log = folder / "asked", folder / "told", folder / "log"
        asked.write_text(talk)
        with asked.open("rb") as stdin, told.open("wb") as stdout, log.open("wb") as stderr:
            command = [PROGRAM, *COMMAND, "-P", self._port, *words]
            process = _start(command, stdin, stdout, stderr, self._inherited)
            try:
                text = self._watch(process, log)
            finally:
                process.kill()
                process.wait()
        if process.returncode != 0:
            raise says.error(text, self._port)
        return told.read_text(errors="replace")

    def _watch(self, process: subprocess.Popen[bytes], log: Path) -> str:
        """Until it ends, or until waiting on is useless; all it said."""
        text, told = "", time.monotonic()
        while True:
            ended = _ended(process)
            before, text = text, says.heard(log.read_bytes())
            synced = says.synced(text)
            if text != before and synced:
                told = time.monotonic()
                if there := says.bar(text):
                    self._progress(*there)
            patience_s = self._stall_s if synced else self._sync_s
            if ended or says.hopeless(text) or time.monotonic() - told > patience_s:
                return text


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for what avrdude reads and writes."""
    try:
        with tempfile.TemporaryDirectory(prefix="bin-daemon-") as folder:
            yield Path(folder)
    except OSError as error:
        raise ConfigError(
            f"{error.filename or tempfile.gettempdir()}: {error.strerror}: no place for avrdude's files",
            hint="make room in the folder for temporary files; TMPDIR names another one",
        ) from error


def _start(
    command: Sequence[str], stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes], inherited: Sequence[int]
) -> subprocess.Popen[bytes]:
    """In a session of its own, which no Ctrl-C or hang-up of a terminal reaches; in English, which `says` understands."""
    english = {**os.environ, "LC_ALL": "C"}
    try:
        process = subprocess.Popen(  # noqa: S603
            command, stdin=stdin, stdout=stdout, stderr=stderr, env=english, pass_fds=inherited, start_new_session=True
        )
    except OSError as error:
        raise ConfigError(
            f"avrdude cannot be started: {error.strerror}", hint="sudo apt-get install --reinstall avrdude"
        ) from error
    with contextlib.suppress(psutil.Error, OSError):
        psutil.Process(process.pid).rlimit(psutil.RLIMIT_CPU, (CPU_S, CPU_S))
    return process


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """After a moment."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(LOOK_S)
    return process.returncode is not None


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C does nothing meanwhile. Other threads than the main one never get it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
