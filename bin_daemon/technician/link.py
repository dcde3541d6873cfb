"""Talking with the controller from a command: one open port, one session, questions that wait for their answers.

For one thread. The port is ours alone (an exclusive lock) from `opened_link` until its end: no daemon can come in between.
"""

from __future__ import annotations

import errno
import secrets
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from bin_daemon.errors import DeviceError
from bin_daemon.lids.port import PORT_ERRORS, error_number, opened, read_some, write_all
from bin_daemon.lids.versions import mend_version
from bin_daemon.lids.waking import wait_until_awake
from firmware_protocol.messages import Telemetry
from firmware_protocol.session import (
    Answered,
    Connected,
    HostSession,
    Lost,
    Rebooted,
    Reported,
    SessionError,
    SessionEvent,
    Unanswered,
    WrongVersion,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import serial

    from firmware_protocol.messages import Command, HelloAck, LidTelemetry, TelemetryMore

HELLO_S = 5.0
"""An Arduino's bootloader may hold the line for a second or two; then the firmware answers within milliseconds."""
ANSWER_S = 1.5
"""Six sendings 60 ms apart, and a slow line."""
TELEMETRY_MS = 100
"""A person waits."""
RELEASE_S = 0.05
"""As avrdude does: the capacitor behind DTR takes some ms to recharge, or the next edge resets nothing."""
HOLD_BYTES, HOLD_S = 3, 0.05
"""The first may come before it listens."""
READ_S = 0.02
"""So that the session's 60 ms repeats come in time."""


class SilentError(DeviceError):
    """Nothing on this port answers HELLO: no firmware of ours, a bricked one, or another device."""


class OtherProtocolError(DeviceError):
    """A controller answers, but in another protocol major: it opens no session, so its lids cannot be asked."""

    def __init__(self, message: str, *, hint: str, update: str) -> None:
        super().__init__(message, hint=hint)
        self.update = update
        """Which side is too old: "host" or "controller"."""


class Link:
    """An open port. `hello` first; after that `report` and `ask`. All raise `DeviceError`."""

    def __init__(self, port: serial.Serial, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.port, self.url = port, url
        self._clock = clock
        self._session = _new_session()
        self._ack: HelloAck | None = None
        self.telemetry: Telemetry | None = None
        """The last heard in this session."""
        self._reports = 0
        self.slots: dict[int, LidTelemetry] = {}
        """The last heard of each lid, from 0; bins with more than four lids tell in several messages."""
        self.on_event: Callable[[SessionEvent], None] = lambda _: None
        """Hears everything in order, also while an answer is awaited."""
        self._was_reset = True
        """By opening the port, or by us, since the last HELLO: it may be in its bootloader now."""
        port.timeout = READ_S

    def hello(self, timeout_s: float = HELLO_S) -> HelloAck:
        """Open a session: who answers. Raises `SilentError` after ``timeout_s``, `OtherProtocolError` for another major."""
        self._session, self._ack, self.telemetry = _new_session(), None, None
        self.slots.clear()
        if self._was_reset:
            self._was_reset = False
            wait_until_awake(self.port, self.url, clock=self._clock)
        self._session.start(self._clock())
        end = self._clock() + timeout_s
        while self._ack is None:
            for event in self._step():
                if isinstance(event, WrongVersion):
                    raise OtherProtocolError(f"{self.url}: {event.text}", hint=mend_version(event), update=event.update)
                if isinstance(event, Connected):
                    self._ack = event.ack
            if self._ack is None and self._clock() >= end:
                raise SilentError(
                    f"{self.url}: nothing answers HELLO within {timeout_s:g} s",
                    hint="check the controller's supply and cable, and that this is its port: ls /dev/serial/by-id",
                )
        return self._ack

    def report(self, timeout_s: float = 2.0) -> Telemetry:
        """The next telemetry: newer than this call."""
        seen, end = self._reports, self._clock() + timeout_s
        while self.telemetry is None or self._reports == seen:
            self._watch(self._step())
            if self._clock() >= end:
                raise DeviceError(
                    f"{self.url}: the controller answers but sends no telemetry",
                    hint="switch the controller off and on, then try again",
                )
        return self.telemetry

    def ask(self, command: Command) -> Answered:
        """Send one command and wait for its RESULT, whatever it says."""
        try:
            ticket = self._session.send(command, self._clock())
        except SessionError as error:
            raise DeviceError(f"{self.url}: {error}", hint="check the cable and the supply, then try again") from error
        end = self._clock() + ANSWER_S
        while self._clock() < end:
            events = self._step()
            for event in events:
                if isinstance(event, Answered) and event.ticket == ticket:
                    return event
                if isinstance(event, Unanswered) and event.ticket == ticket:
                    raise DeviceError(f"{self.url}: {event.reason}", hint="check the cable, then try again")
            self._watch(events)
        raise DeviceError(f"{self.url}: no answer to {type(command).__name__}", hint="check the cable, then try again")

    def pump(self, seconds: float) -> list[SessionEvent]:
        """Keep the session alive for so long; what happened meanwhile."""
        end, events = self._clock() + seconds, []
        while self._clock() < end:
            events += self._step()
        return events

    def hold_bootloader(self) -> None:
        """Keep a bootloader that has just been entered from starting the firmware again before avrdude is there.

        Any byte does: Arduino's waits 0.84 s for a first one, seconds after that (`lids.waking`). With DTR it starts anew anyway.
        """
        for _ in range(HOLD_BYTES):
            time.sleep(HOLD_S)
            write_all(self.port, self.url, b"\0")

    def reset_board(self) -> None:
        """Pulse DTR and RTS, which resets an Arduino; a port without these lines (a pty) is left as it is."""
        self._was_reset = True
        with suppress(*PORT_ERRORS):
            self.port.reset_input_buffer()
        with suppress(*PORT_ERRORS):
            self.port.dtr = self.port.rts = False
            time.sleep(RELEASE_S)
            self.port.dtr = self.port.rts = True

    def _step(self) -> list[SessionEvent]:
        write_all(self.port, self.url, self._session.take_output())
        data = read_some(self.port, self.url)
        now = self._clock()
        events = [*self._session.receive(data, now), *self._session.tick(now)]
        for event in events:
            if isinstance(event, Reported):
                self._reported(event.message)
            self.on_event(event)
        write_all(self.port, self.url, self._session.take_output())
        return events

    def _reported(self, message: Telemetry | TelemetryMore) -> None:
        first = 0
        if isinstance(message, Telemetry):
            self.telemetry = message
            self._reports += 1
        else:
            first = message.first_lid
        self.slots.update(enumerate(message.slots, first))

    def _watch(self, events: list[SessionEvent]) -> None:
        """A session lost between question and answer is an error here: a command begins afresh."""
        for event in events:
            if isinstance(event, (Lost, Rebooted)):
                reason = event.reason if isinstance(event, Lost) else "the controller has restarted"
                raise DeviceError(f"{self.url}: {reason}", hint="check the cable and the supply, then try again")


def _new_session() -> HostSession:
    return HostSession(1 + secrets.randbelow(0xFFFF), telemetry_ms=TELEMETRY_MS)


@contextmanager
def opened_link(url: str, baud: int) -> Iterator[Link]:
    """The port, opened for us alone. Raises `DeviceError`; when a daemon holds it, the hint says how to stop that."""
    with ExitStack() as stack:
        try:
            port = stack.enter_context(opened(url, baud))
        except DeviceError as error:
            if error_number(error) not in {errno.EAGAIN, errno.EBUSY}:
                raise
            raise DeviceError(
                f"{url}: another program has the port open",
                hint="stop the service: sudo systemctl stop bin-daemon (while it runs, bin-daemon status shows the firmware); "
                f"if none runs, this names the program: fuser -v {url}",
            ) from error
        yield Link(port, url)
