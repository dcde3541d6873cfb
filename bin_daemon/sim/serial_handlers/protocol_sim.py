"""pyserial's handler of ``sim://``: the port of a simulated controller. Found by pyserial through its module name.

`bin_daemon.sim.register_serial` puts this package on pyserial's list; the parameters of a URL are the fields of
`bin_daemon.sim.options.SimOptions`.
"""

from __future__ import annotations

import threading
from typing import Any

from serial import PortNotOpenError, SerialBase, SerialException

from bin_daemon.sim.controller import controller
from bin_daemon.sim.far_end import FarEnd
from bin_daemon.sim.options import parse_url

BUFFER_BYTES = 65536
"""A reader that falls further behind loses the oldest bytes, as a driver's ring does."""


def serial_class_for_url(url: str) -> tuple[str, type[SimSerial]]:
    """Tell pyserial which class takes this URL. Raises `bin_daemon.errors.ConfigError` for a wrong one."""
    parse_url(url)
    return url, SimSerial


class SimSerial(SerialBase):
    """One open end of a simulated cable."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._bytes = bytearray()
        self._arrived = threading.Condition()
        self._cancelled = False
        self._far_end: FarEnd | None = None
        super().__init__(*args, **kwargs)

    @staticmethod
    def find(url: str) -> FarEnd:
        """The device that this URL names."""
        return controller(*parse_url(url))

    def open(self) -> None:
        """Plug in. Raises SerialException when the cable is out or somebody else has the port."""
        if self.is_open:
            raise SerialException("Port is already open.")
        device = self.find(str(self.port))
        try:
            device.connect(self._deliver)
        except OSError as error:
            raise SerialException(error.errno, f"could not open port {self.port}: {error.strerror}") from error
        self._bytes.clear()
        self._far_end = device
        self.is_open = True

    def close(self) -> None:
        """Let go; the controller lives on and notices the silence."""
        if self._far_end is not None:
            self._far_end.disconnect(self._deliver)
        self._far_end = None
        self.is_open = False
        self.cancel_read()

    @property
    def in_waiting(self) -> int:
        """Bytes that `read` would give at once."""
        self._device()
        with self._arrived:
            return len(self._bytes)

    def read(self, size: int = 1) -> bytes:
        """Up to ``size`` bytes; fewer when the timeout or a cancel came first."""
        device = self._device()
        with self._arrived:
            self._arrived.wait_for(
                lambda: len(self._bytes) >= size or self._cancelled or not device.plugged, self.timeout
            )
            self._cancelled = False
            if not device.plugged:
                raise SerialException("device reports readiness to read but returned no data (device disconnected?)")
            data = bytes(self._bytes[:size])
            del self._bytes[:size]
            return data

    def write(self, b: Any, /) -> int:
        """Hand all bytes to the cable at once."""
        device = self._device()
        if not device.plugged:
            raise SerialException("write failed: [Errno 5] Input/output error")
        data = bytes(b)
        device.receive(data)
        return len(data)

    def cancel_read(self) -> None:
        """Wake a blocked `read`."""
        with self._arrived:
            self._cancelled = True
            self._arrived.notify_all()

    def reset_input_buffer(self) -> None:
        """Forget what arrived."""
        with self._arrived:
            self._bytes.clear()

    def _device(self) -> FarEnd:
        if self._far_end is None:
            raise PortNotOpenError
        return self._far_end

    def _deliver(self, data: bytes | None) -> None:
        """Called by the controller: bytes, or None when the cable was pulled."""
        with self._arrived:
            if data:
                self._bytes += data
                del self._bytes[:-BUFFER_BYTES]
            self._arrived.notify_all()

    def _reconfigure_port(self, *_: Any, **__: Any) -> None:
        """Baud rate and parity mean nothing to a simulated cable."""

    def _update_dtr_state(self) -> None:
        """No control lines, as on a pty."""

    def _update_rts_state(self) -> None:
        """No control lines, as on a pty."""

    def _update_break_state(self) -> None:
        """No break either."""
