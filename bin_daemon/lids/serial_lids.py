"""The lids behind a serial line: a `bin_daemon.pipeline.LidPort` on `firmware_protocol`'s session.

One thread (a worker's) reads; any thread may send. Everything that changes is behind one mutex, held for microseconds and
at worst for one write; `state` and `poll` do not even need that. Whoever waits for an answer also does the repeats, so that
60 ms time-outs hold although the reader may sleep 250 ms.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bin_daemon.domain import LidReport, LidsState, Outcome
from bin_daemon.errors import DeviceError
from bin_daemon.lids.calibration import CalibrationCheck
from bin_daemon.lids.detail import LidDetail, lid_detail
from bin_daemon.lids.hearing import Hearing
from bin_daemon.lids.port import check_url, opened, read_some, write_all
from bin_daemon.lids.shutting import shut_and_wait
from bin_daemon.lids.versions import mend_version
from bin_daemon.lids.waking import wait_until_awake
from firmware_protocol.messages import (
    Caps,
    Close,
    Command,
    Indicate,
    Open,
    Pattern,
    StopClear,
    StopLatch,
    StopNow,
    Telemetry,
)
from firmware_protocol.session import Answered, Connected, HostSession, SessionError, SessionEvent, Unanswered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import serial

    from bin_daemon.config.settings import CalibrationSettings, ControllerSettings, LidSettings
    from bin_daemon.domain import LidCommand, Signal
    from bin_daemon.lids.snapshot import ControllerInfo

ANSWER_S = 0.9
"""Longest wait for a RESULT: six sendings 60 ms apart, and slack for a slow line. The pipeline must not stand longer."""
HANDSHAKE_S = 4.0
"""A busy controller may be late; and so long without a session while running means: open the port afresh (the controller
shut its lids after 2 s)."""
HEARD_BYTES = 48
"""Of a stranger's talk, quoted in the error."""
SIGNAL_FRESH_S = 1.0
"""A signal that found the line busy for so long tells the person nothing any more."""

INDICATOR = str(Caps.INDICATOR.name).lower()
"""Capability of a controller with lamp and buzzer."""

LATE_OK = (Close, StopNow, StopLatch)
"""What may still go out after its caller gave up: it only makes the bin safer."""

NOT_CONNECTED = Unanswered(0, Command(), "NOT_CONNECTED", sent=False)
"""The answer where there is nobody to ask."""
WITHDRAWN = Unanswered(0, Command(), "NOT_SENT", sent=False)
"""The answer where its turn on the line did not come in time."""


class SerialLids:
    """One controller. Raises `ConfigError` at once when ``settings.port`` names no kind of port; opens it only in `session`."""

    def __init__(
        self,
        settings: ControllerSettings,
        lids: Sequence[LidSettings],
        calibration: Mapping[int, CalibrationSettings] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        nonce: Callable[[], int] = lambda: 1 + secrets.randbelow(0xFFFF),
    ) -> None:
        check_url(settings.port)
        self._settings = settings
        self._clock = clock
        self._nonce = nonce
        self._changed = threading.Condition()
        self._hearing = Hearing(lids, settings.port)
        self._calibration = CalibrationCheck(calibration or {}, [x.lid for x in lids])
        self._state = self._hearing.snapshot.state
        self._reports: deque[LidReport] = deque()
        self._port: serial.Serial | None = None
        self._session: HostSession | None = None
        self._awaited: dict[int, Answered | Unanswered | None] = {}
        self._broken: DeviceError | None = None
        self._heard = b""
        self._waiting: tuple[Signal, float] | None = None
        """The newest signal that found the line busy, and when."""
        self._winding_down = False
        """No handshake is worth waiting for any more."""

    @property
    def state(self) -> LidsState:
        """All lids as last reported; returns at once."""
        return self._state

    @property
    def hello(self) -> ControllerInfo | None:
        """Who the controller said it is; None before the first handshake."""
        return self._hearing.hello

    @property
    def telemetry(self) -> Telemetry | None:
        """The last telemetry (supply, temperature, line errors); None before the first."""
        return self._hearing.telemetry

    @property
    def line_errors(self) -> dict[str, int]:
        """What the controller threw away of our bytes, each modulo 256: noise on the line shows here first."""
        telemetry = self.telemetry
        names = ("crc_errors", "length_errors", "seq_errors", "overruns")
        return {name: getattr(telemetry, name) for name in names} if telemetry else {}

    @property
    def details(self) -> dict[int, LidDetail]:
        """Each lid of the config as a technician wants to see it; what is not known is None. Returns at once."""
        slots, held, check = self._hearing.slots, self._hearing.held_switches, self._calibration
        return {
            n: lid_detail(slots.get(n), check.values.get(n), source, shut_switch_held=n in held)
            for n, source in check.sources.items()
        }

    def poll(self) -> Sequence[LidReport]:
        """Reports that arrived since the last call, oldest first; returns at once."""
        return [self._reports.popleft() for _ in range(len(self._reports))]

    def open(self, command: LidCommand) -> None:
        """Send one OPEN; returns when the controller answered or gave up, within `ANSWER_S`. Never raises; `poll` reports."""
        with self._changed:
            self._hearing.ledger.begin(command, self._clock())
            message = Open(command.lid - 1, command.action_id, command.hold_ms, command.start_within_ms)
            answer = self._ask(message)
            if answer is NOT_CONNECTED or answer is WITHDRAWN:
                self._hearing.ledger.ended(command.action_id, Outcome.NO_REPLY, answer.reason)
            elif answer is None:
                self._hearing.ledger.unanswered(command.action_id, "NO_REPLY")
            self._publish()

    def signal(self, signal: Signal) -> None:
        """Show ``signal`` where the controller has an indicator. Never raises and waits for no answer; while a command is under
        way it waits itself, and a newer one takes its place.
        """
        with self._changed:
            self._waiting = (signal, self._clock())
            self._indicate(self._clock())
            self._flush()

    def close(self, lid: int) -> bool:
        """Shut one lid now; any thread. True when the controller accepted."""
        return self._order(Close(lid - 1, _fresh_id()))

    def stop(self, *, latch: bool = False) -> bool:
        """Halt every motion now; any thread. With ``latch`` nothing moves again until `clear_stop`. True when accepted."""
        return self._order(StopLatch() if latch else StopNow())

    def clear_stop(self) -> bool:
        """Clear the software latch and latched faults; moves nothing. True when accepted."""
        return self._order(StopClear())

    def close_all(self, timeout_s: float) -> bool:
        """Shut what is open and wait for it, at most ``timeout_s``; True when all are known to be shut. For shutdown:
        a handshake under way is given up, so that the worker can end.
        """
        self._winding_down = True
        return shut_and_wait(self, self._changed, timeout_s, self._clock)

    @contextmanager
    def session(self) -> Iterator[Callable[[], None]]:
        """Open the port, shake hands, yield one step (read up to 0.25 s, act); for one `Worker`. Both raise `DeviceError`."""
        with opened(self._settings.port, self._settings.baud) as port:
            wait_until_awake(port, self._settings.port, clock=self._clock, give_up=lambda: self._winding_down)
            self._begin(port)
            try:
                while not self._state.connected and not self._winding_down:
                    self._step()
                yield self._step
            finally:
                self._end()

    def _begin(self, port: serial.Serial) -> None:
        with self._changed:
            now = self._clock()
            self._port = port
            self._session = HostSession(self._nonce(), telemetry_ms=self._settings.telemetry_ms)
            self._broken, self._heard, self._waiting = None, b"", None
            self._hearing.begin(now)
            self._session.start(now)
            self._flush()

    def _end(self) -> None:
        with self._changed:
            self._port = self._session = None
            self._hearing.end()
            self._publish()

    def _step(self) -> None:
        port, session = self._port, self._session
        if port is None or session is None:
            raise DeviceError(
                f"{self._settings.port}: used outside its session", hint="use the step inside `with session()`"
            )
        data = read_some(port, self._settings.port)
        with self._changed:
            now = self._clock()
            self._heard = (self._heard + data)[:HEARD_BYTES]
            self._handle(session.receive(data, now), now)
            self._handle(session.tick(now), now)
            self._hearing.ledger.expire(now)
            self._indicate(now)
            self._check_calibration(now)
            self._flush()
            self._publish()
            self._check(now)

    def _check(self, now: float) -> None:
        """Raise what keeps this port from working, whoever noticed it."""
        url, hearing = self._settings.port, self._hearing
        if self._broken:
            raise self._broken
        if hearing.wrong_version:
            raise DeviceError(f"{url}: {hearing.wrong_version.text}", hint=mend_version(hearing.wrong_version))
        if hearing.lost_t_s is None or now - hearing.lost_t_s <= HANDSHAKE_S:
            return
        if not self._heard:
            raise DeviceError(
                f"{url}: nothing answers HELLO",
                hint="check the controller's supply, and that controller.port is the right device; "
                "one that has lost its firmware: bin-daemon firmware flash IMAGE --recover",
            )
        raise DeviceError(
            f"{url}: no controller answers HELLO; what was heard begins with {self._heard!r}",
            hint="controller.port names another device, the baud rate differs, or the controller hangs",
        )

    def _order(self, message: Command) -> bool:
        """A command without a report of its own, in the safe direction."""
        with self._changed:
            answer = self._ask(message)
            self._publish()
            return isinstance(answer, Answered) and answer.accepted

    def _ask(self, message: Command) -> Answered | Unanswered | None:
        """Send and wait for the answer, doing the session's repeats meanwhile; None when none came in time. Mutex held.

        `WITHDRAWN` when it had to wait for others all that time: nobody expects it any more, so it must not go out later.
        """
        session, end = self._session, self._clock() + ANSWER_S
        try:
            ticket = session.send(message, self._clock()) if session else 0
        except SessionError:
            ticket = 0
        if session is None or ticket == 0:
            return NOT_CONNECTED
        self._awaited[ticket] = None
        try:
            while self._session is session:
                now = self._clock()
                self._handle(session.tick(now), now)
                self._flush()
                if now >= end or self._broken or self._awaited[ticket]:
                    break
                due = session.next_deadline()
                self._changed.wait(max(0.001, min(end, end if due is None else due) - now))
        finally:
            answer = self._awaited.pop(ticket)
            withdrawn = answer is None and not isinstance(message, LATE_OK) and session.withdraw(ticket)
        return WITHDRAWN if withdrawn else answer

    def _indicate(self, now: float) -> None:
        """Send the signal that waits, once nothing else is on the line: one that were in flight would hold up an OPEN."""
        session = self._session
        if self._waiting is None or session is None or not session.idle or self._awaited:
            return
        (signal, asked_t_s), self._waiting = self._waiting, None
        if now - asked_t_s <= SIGNAL_FRESH_S and INDICATOR in self._state.capabilities:
            session.send(Indicate(Pattern[signal.pattern.name], min(max(signal.duration_ms, 0), 0xFFFF)), now)

    def _check_calibration(self, now: float) -> None:
        """Compare the controller's calibration with the config's while nothing else is on the line and every lid is shut."""
        session, check = self._session, self._calibration
        if session is None or not session.idle or self._awaited:
            return
        if command := check.next(self._hearing.snapshot.state, now):
            check.sent(command, session.send(command, now), now)

    def _handle(self, events: Sequence[SessionEvent], now: float) -> None:
        for event in events:
            if isinstance(event, (Answered, Unanswered)) and event.ticket in self._awaited:
                self._awaited[event.ticket] = event
            self._hearing.take(event, now)
            self._calibration.hear(event)
            if isinstance(event, Connected) and self._hearing.hello:
                self._calibration.connect(self._hearing.hello)

    def _flush(self) -> None:
        """Write what the session wants to say. A broken port is the reader's to report: senders never raise."""
        if self._port is None or self._session is None or self._broken:
            return
        try:
            write_all(self._port, self._settings.port, self._session.take_output())
        except DeviceError as error:
            self._broken = error

    def _publish(self) -> None:
        self._state = self._hearing.snapshot.state
        self._reports.extend(self._hearing.ledger.take())
        self._changed.notify_all()


def _fresh_id() -> int:
    """An action id for a CLOSE: the controller ignores one that it had before, and a lid shut twice does no harm."""
    return 1 + secrets.randbelow(0xFFFF_FFFF)
