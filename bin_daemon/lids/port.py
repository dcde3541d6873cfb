"""The serial port itself: opened for us alone, every library error turned into one `DeviceError` that says what mends it."""

from __future__ import annotations

import contextlib
import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

import serial

from bin_daemon.errors import ConfigError, DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator

READ_TIMEOUT_S = 0.25
"""The reader returns at least this often, so that its worker shows a sign of life."""
WRITE_TIMEOUT_S = 0.5
"""A port that takes no byte for so long is dead: a frame is 62 bytes, 6 ms at 115200."""


def _termios_error() -> type[Exception]:
    try:
        import termios
    except ImportError:  # Windows
        return OSError
    return termios.error


PORT_ERRORS = (serial.SerialException, OSError, _termios_error(), TypeError, ValueError)
"""All that pyserial 3.5 was seen to raise on a port in trouble. TypeError: the port was closed during a read.
termios.error (parity on a pty) is no OSError."""

_HINTS = {
    errno.ENOENT: "plug the controller in, or correct controller.port (`ls /dev/serial/by-id`)",
    errno.EACCES: "let the daemon's user read the port: add it to the group dialout, or install the udev rules",
    errno.EAGAIN: "another program has the port open: stop it (`fuser` names it)",
    errno.EBUSY: "another program has the port open: stop it (`fuser` names it)",
    errno.ENOTTY: "this is no serial port: correct controller.port",
}


def check_url(url: str) -> None:
    """Raise `ConfigError` when no pyserial class takes ``url``; opens nothing. ``hwgrep://`` may find nothing yet."""
    try:
        serial.serial_for_url(url, do_not_open=True).close()
    except Exception as error:  # pyserial's URL handlers let re.error, OSError and more through
        if "no ports found" in str(error):
            return
        raise ConfigError(
            f"controller.port {url!r}: {error}", hint="give /dev/serial/by-id/..., sim://WORLD or another pyserial URL"
        ) from error


def error_number(error: BaseException) -> int:
    """The errno behind an error; termios.error has it as first argument, pyserial hides that in the context."""
    if isinstance(number := getattr(error, "errno", None), int):
        return number
    if error.__context__:
        return error_number(error.__context__)
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0


@contextmanager
def translated(url: str, what: str) -> Iterator[None]:
    """Every error of the port in the body becomes one `DeviceError`."""
    try:
        yield
    except PORT_ERRORS as error:
        hint = _HINTS.get(
            error_number(error), "check the controller's cable and supply; the daemon opens the port again by itself"
        )
        raise DeviceError(f"{url}: {what}: {error}", hint=hint) from error


@contextmanager
def opened(url: str, baud: int) -> Iterator[serial.Serial]:
    """The open port; closed whatever happens, before anyone opens it again. Raises `DeviceError`."""
    with translated(url, "cannot open"):
        port = serial.serial_for_url(url, do_not_open=True)
        port.baudrate, port.timeout, port.write_timeout = baud, READ_TIMEOUT_S, WRITE_TIMEOUT_S
        with contextlib.suppress(ValueError, NotImplementedError, AttributeError):
            port.exclusive = True  # where the platform can; URL handlers cannot
        port.open()
    try:
        yield port
    finally:
        with contextlib.suppress(*PORT_ERRORS):
            port.close()


def read_some(port: serial.Serial, url: str) -> bytes:
    """At least one byte and all that is there, or empty after `READ_TIMEOUT_S`. Raises `DeviceError`."""
    with translated(url, "cannot read"):
        first: bytes = port.read(1)
        return first + port.read(port.in_waiting) if first else b""


def write_all(port: serial.Serial, url: str, data: bytes) -> None:
    """Send ``data``. Raises `DeviceError`."""
    if data:
        with translated(url, "cannot write"):
            port.write(data)
