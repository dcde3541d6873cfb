"""A board that resets when its port is opened: keep quiet until its bootloader has let the firmware start.

Opening a USB port raises DTR, which resets an Arduino. Its stk500v2 bootloader (ArduinoCore-avr, stk500boot_v2_mega2560.hex)
then waits 0.84 s for a first byte; ANY byte within that time makes it stay, and every further one restarts a time-out of 9.3 s
(measured with that file in simavr; 4.8 s with Debian's build of it). A host that says HELLO at once, again and again, holds such
a board in its bootloader for ever. One that was reset with the session open, and has no DTR, comes back when the worker's
back-off leaves it alone so long.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bin_daemon.lids.port import read_some
from firmware_protocol.framing import Decoder
from firmware_protocol.messages import Type

if TYPE_CHECKING:
    from collections.abc import Callable

    import serial

BOOT = bytes([Type.BOOT])
QUIET_S = 2.0
"""Longer than the bootloader's wait, shorter than a handshake may take."""


def wait_until_awake(
    port: serial.Serial,
    url: str,
    *,
    clock: Callable[[], float] = time.monotonic,
    give_up: Callable[[], bool] = lambda: False,
) -> None:
    """Return when the board has said BOOT, of any major, or `QUIET_S` have passed; at once where opening resets nothing.

    Any other frame may be of an earlier session, still on its way when the reset came. What is heard is dropped: nothing depends
    on BOOT. Raises `DeviceError`.
    """
    if not has_modem_lines(port):
        return
    decoder, end = Decoder(), clock() + QUIET_S
    while clock() < end and not give_up():
        if any(body[:1] == BOOT for body in decoder.feed(read_some(port, url))):
            return


def has_modem_lines(port: serial.Serial) -> bool:
    """Whether this is a port with DTR: a UART or a USB serial device, not a pty, a socket or a simulator."""
    try:
        import fcntl
        import termios

        fcntl.ioctl(port.fileno(), termios.TIOCMGET, b"\0" * 4)
    except (ImportError, OSError, AttributeError, NotImplementedError):
        return False
    return True
