"""A Maestro at the far end of an open port: commands as methods, every doubt a `DeviceError`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from bin_daemon.errors import DeviceError
from bin_daemon.lids.maestro_bytes import KNOWN_ERRORS, VALUE_MAX, Command, Dialect, Errors, names
from bin_daemon.lids.port import translated, write_all

if TYPE_CHECKING:
    import serial

NO_ANSWER = (
    "in the Maestro Control Center, Serial Settings, choose USB Dual Port; give the Command Port (the lower ttyACM) as "
    "controller.port; device number and CRC as in controller.maestro"
)


class MaestroLine:
    """Not thread-safe: its owner holds the mutex. A reply that does not come within the port's time-out is a DeviceError: the
    bytes after it could not be told apart, so the port is to be opened afresh.
    """

    def __init__(self, port: serial.Serial, url: str, dialect: Dialect) -> None:
        self.url = url
        self.counts: Counter[str] = Counter()
        """Errors that the Maestro reported, by name."""
        self._port = port
        self._dialect = dialect

    def forget_input(self) -> None:
        """Throw away what was received before we came."""
        with translated(self.url, "cannot read"):
            self._port.reset_input_buffer()

    def set_target(self, channel: int, quarter_us: int) -> None:
        """Absolute, so a repeat does no harm; `OFF` takes the pulses away."""
        self._say(self._dialect.valued(Command.SET_TARGET, channel, quarter_us))

    def set_speed(self, channel: int, units: int) -> None:
        """Bound of the pulse's slope, in 0.25 us per 10 ms; also when an error sends the channel home (4.b)."""
        self._say(self._dialect.valued(Command.SET_SPEED, channel, units))

    def set_acceleration(self, channel: int, units: int) -> None:
        """0: none."""
        self._say(self._dialect.valued(Command.SET_ACCELERATION, channel, units))

    def go_home(self) -> None:
        """All channels, as on an error."""
        self._say(self._dialect.packet(Command.GO_HOME))

    def position(self, channel: int) -> int:
        """The pulse that is sent now, quarter microseconds, `OFF` for none; or an input's reading. Not where the servo is."""
        reply = self._ask(self._dialect.packet(Command.GET_POSITION, channel), 2)
        position = int.from_bytes(reply, "little")
        if position > VALUE_MAX:
            raise self._stranger(reply)
        return position

    def errors(self) -> Errors:
        """What went wrong since the last call; the Maestro forgets it."""
        reply = self._ask(self._dialect.packet(Command.GET_ERRORS), 2)
        word = int.from_bytes(reply, "little")
        if word & ~KNOWN_ERRORS:
            raise self._stranger(reply)
        self.counts.update(name.lower() for name in names(Errors(word)))
        return Errors(word)

    def script_runs(self) -> bool:
        """Whether the user's script moves the servos behind our back."""
        reply = self._ask(self._dialect.packet(Command.GET_SCRIPT_STATUS), 1)
        if reply[0] > 1:
            raise self._stranger(reply)
        return reply[0] == 0

    def _say(self, packet: bytes) -> None:
        write_all(self._port, self.url, packet)

    def _ask(self, packet: bytes, size: int) -> bytes:
        self._say(packet)
        with translated(self.url, "cannot read"):
            reply: bytes = self._port.read(size)
        if len(reply) < size:
            raise DeviceError(f"{self.url}: the Maestro answered {len(reply)} of {size} bytes", hint=NO_ANSWER)
        return reply

    def _stranger(self, reply: bytes) -> DeviceError:
        return DeviceError(f"{self.url}: {reply.hex(' ')} is no answer of a Maestro", hint=NO_ANSWER)
