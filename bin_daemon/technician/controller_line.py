"""A controller on the technician's line: one thread, one session, each command answered before the next.

Not for the daemon, whose `SerialLids` never waits. Here somebody stands before the bin: what goes wrong is raised at once, and
while nobody asks for anything `run` keeps the session alive. A program that dies or stands still falls silent, and the controller
shuts its lids.
"""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from bin_daemon.errors import DeviceError
from bin_daemon.lids.port import opened, read_some, write_all
from firmware_protocol.session import (
    Answered,
    HostSession,
    SessionError,
    SessionEvent,
    State,
    Unanswered,
    WrongVersion,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import serial

    from firmware_protocol.messages import Command, HelloAck

READ_S = 0.03
"""Keys are looked at and repeats are done this often."""
CONNECT_S = 6.0
"""A board that is reset by the opening of its port sits in its bootloader for 2 s."""
TELEMETRY_MS = 50
"""The most often a controller reports: a stall is cut off after 80 ms and should be seen before."""


class Wire(Protocol):
    """Bytes to and from the controller. Errors are `DeviceError`."""

    def read(self) -> bytes:
        """What has come; waits a little (30 ms) for the first byte, empty when none came."""

    def write(self, data: bytes) -> None:
        """Send."""


class _SerialWire:
    def __init__(self, port: serial.Serial, url: str) -> None:
        self._port, self._url = port, url
        port.timeout = READ_S

    def read(self) -> bytes:
        return read_some(self._port, self._url)

    def write(self, data: bytes) -> None:
        write_all(self._port, self._url, data)


class ControllerLine:
    """One session with one controller. ``on_event`` hears everything, in order, also while an answer is awaited."""

    def __init__(
        self,
        wire: Wire,
        *,
        clock: Callable[[], float] = time.monotonic,
        nonce: int | None = None,
        telemetry_ms: int = TELEMETRY_MS,
    ) -> None:
        self.clock = clock
        self.on_event: Callable[[SessionEvent], None] = lambda _: None
        self._wire = wire
        self._session = HostSession(nonce or 1 + secrets.randbelow(0xFFFF), telemetry_ms=telemetry_ms)
        self._answers: dict[int, Answered | Unanswered] = {}
        self._wrong_version: WrongVersion | None = None
        self._heard = b""

    @property
    def connected(self) -> bool:
        """Whether there is a session now."""
        return self._session.state is State.CONNECTED

    @property
    def ack(self) -> HelloAck | None:
        """Who the controller said it is."""
        return self._session.ack

    def connect(self, timeout_s: float = CONNECT_S) -> HelloAck:
        """Shake hands, or wait for the next session after one was lost. Raises `DeviceError`."""
        if self._session.state is State.NEW:
            self._session.start(self.clock())
        end = self.clock() + timeout_s
        while not self.connected:
            if self.clock() >= end:
                raise self._nobody()
            self.run()
        assert self._session.ack is not None  # noqa: S101 - CONNECTED follows a HELLO_ACK
        return self._session.ack

    def _nobody(self) -> DeviceError:
        if not self._heard:
            return DeviceError(
                "nothing answers on the controller's line",
                hint="check the controller's supply and cable, and that controller.port is the right device",
            )
        return DeviceError(
            f"no lid controller answers; what was heard begins with {self._heard!r}",
            hint="controller.port names another device, the baud rate differs, or the controller hangs",
        )

    def run(self, for_s: float = 0.0) -> None:
        """Let the line live for so long (at least one reading). Raises `DeviceError` when the port breaks."""
        end = self.clock() + for_s
        while True:
            self._turn()
            if self.clock() >= end:
                return

    def ask(self, command: Command) -> Answered:
        """Send one command and wait for its RESULT, whatever it says. Raises `DeviceError` when none comes."""
        try:
            ticket = self._session.send(command, self.clock())
        except SessionError as error:
            raise DeviceError(f"the controller does not answer: {error}", hint="check its cable and supply") from error
        while ticket not in self._answers:
            self._turn()
        answer = self._answers.pop(ticket)
        if isinstance(answer, Unanswered):
            raise DeviceError(f"the controller does not answer: {answer.reason}", hint="check its cable and supply")
        return answer

    def _turn(self) -> None:
        self._wire.write(self._session.take_output())
        data = self._wire.read()
        self._heard = (self._heard + data)[:48]
        now = self.clock()
        for event in [*self._session.receive(data, now), *self._session.tick(now)]:
            if isinstance(event, (Answered, Unanswered)):
                self._answers[event.ticket] = event
            if isinstance(event, WrongVersion):
                self._wrong_version = event
            self.on_event(event)
        self._wire.write(self._session.take_output())
        if self._wrong_version:
            raise DeviceError(self._wrong_version.text, hint=f"update the {self._wrong_version.update}")


@contextmanager
def controller_on(url: str, baud: int) -> Iterator[ControllerLine]:
    """The controller behind a port, connected. Raises `DeviceError`, and `ConfigError` for a URL that names no port."""
    with opened(url, baud) as port:
        line = ControllerLine(_SerialWire(port, url))
        line.connect()
        yield line
