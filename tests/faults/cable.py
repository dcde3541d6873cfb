"""A faulty serial cable between the daemon and a controller's pty: named faults of bytes and frames, each way."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType

import serial

from bin_daemon.sim.faults import Line
from bin_daemon.sim.pty import PtyPort


class Cable:
    """Relays between ``link`` (which the daemon opens) and the port ``far``; a context manager."""

    def __init__(self, link: Path, far: Path, to_controller: Line, to_host: Line) -> None:
        self._near = PtyPort(link)
        self._far = serial.Serial(str(far), timeout=0)
        self._to_controller, self._to_host = to_controller, to_host
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._relay, daemon=True)

    def __enter__(self) -> Cable:  # noqa: PYI034 - typing.Self is younger than Python 3.10
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self._near.unplug()
        self._far.close()

    def _relay(self) -> None:
        while not self._stop.is_set():
            now_s = time.monotonic()
            down = self._near.read(0.005)
            for part in self._to_controller.flow(down or b"", now_s):
                self._far.write(part)
            for part in self._to_host.flow(self._far.read(4096), now_s):
                if down is not None:
                    self._near.write(part)
            if down is None:
                self._stop.wait(0.01)
