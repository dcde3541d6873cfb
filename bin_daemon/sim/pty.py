"""A pseudo terminal that plays a USB serial port: a stable name in front, unplugged and replugged like the real thing."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import tty
from pathlib import Path

READ_SIZE = 4096


class PtyPort:
    """The device side of one serial port. ``link`` is its stable name, as udev's by-id links are; without it the pty's own.

    The far end is raw before anyone can learn its name: a cooked one would echo the device's own bytes back to it. We keep
    no file of the far end open, so that a hang-up is seen on both sides.
    """

    def __init__(self, link: Path | None = None) -> None:
        self._link = link
        self._master: int | None = None
        self._path = ""
        self.plug()

    @property
    def path(self) -> str:
        """What a program opens."""
        return str(self._link) if self._link else self._path

    @property
    def plugged(self) -> bool:
        """Whether the cable is in."""
        return self._master is not None

    def plug(self) -> None:
        """Appear, under a new number behind the same name. Raises OSError when the link cannot be made."""
        if self._master is not None:
            return
        master, slave = pty.openpty()
        tty.setraw(slave)
        self._path = os.ttyname(slave)
        os.close(slave)
        os.set_blocking(master, False)
        try:
            self._name_it()
        except OSError:
            os.close(master)
            raise
        self._master = master

    def _name_it(self) -> None:
        if self._link:
            fresh = self._link.with_name(f".{self._link.name}.{os.getpid()}")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(self._path)
            fresh.replace(self._link)  # atomic: a program sees the old name or the new one, never none

    def unplug(self) -> None:
        """Vanish under whoever has the port open."""
        if self._master is None:
            return
        if self._link:
            with contextlib.suppress(FileNotFoundError):
                self._link.unlink()
        os.close(self._master)
        self._master = None

    def wait(self, timeout_s: float) -> bool:
        """Until there are bytes or the host hangs up; False when neither came in time."""
        master = self._master
        return master is not None and bool(_poll(master, timeout_s))

    def read(self, timeout_s: float) -> bytes | None:
        """Bytes from the host, empty when none came in time; None when nobody has the port open."""
        if self._master is None:
            return None
        events = _poll(self._master, timeout_s)
        if not events & select.POLLIN:
            return None if events else b""  # POLLHUP alone: no host
        try:
            return os.read(self._master, READ_SIZE)
        except OSError:  # EIO: the host closed between poll and read
            return None

    def write(self, data: bytes) -> None:
        """Bytes to the host; what nobody takes is lost, as on USB."""
        if self._master is not None:
            with contextlib.suppress(OSError):
                os.write(self._master, data)


def _poll(master: int, timeout_s: float) -> int:
    poller = select.poll()
    poller.register(master, select.POLLIN)
    return next((events for _, events in poller.poll(timeout_s * 1000)), 0)
