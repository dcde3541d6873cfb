"""The lids behind a Pololu Maestro: a `bin_daemon.pipeline.LidPort` on pulses alone.

Reduced, and said to be: capability ``unconfirmed``, outcome UNCONFIRMED. There are no limit switches, no current, no pinch watch
and no acknowledgement; the error register is read after each command. The dead-man is the Maestro's serial time-out, which
`prove` sees at work before any lid may open.

One thread (a worker's) turns; any thread may ask. All that changes is behind one mutex, held for one turn: one question for
the error register, one for each channel, and the commands that are due.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from bin_daemon.domain import LidPosition, LidReport, LidsState, LidState, Outcome
from bin_daemon.errors import ConfigError, DeviceError
from bin_daemon.lids.detail import LidDetail, lid_detail
from bin_daemon.lids.ledger import Ledger
from bin_daemon.lids.maestro_bytes import OFF, QUARTERS, Dialect
from bin_daemon.lids.maestro_core import MaestroCore
from bin_daemon.lids.maestro_line import MaestroLine
from bin_daemon.lids.maestro_proof import prove
from bin_daemon.lids.maestro_servo import servo
from bin_daemon.lids.maestro_session import MaestroSession, capabilities
from bin_daemon.lids.port import check_url, opened
from bin_daemon.lids.shutting import shut_and_wait
from bin_daemon.lids.snapshot import ControllerInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bin_daemon.config.settings import CalibrationSettings, ControllerSettings, LidSettings
    from bin_daemon.domain import LidCommand, Signal

REST_TURN_S = 0.2
"""Between two looks while nothing moves: feeds the Maestro's time-out, whose least is 0.5 s, and sees the stop switch."""
MOVING_TURN_S = 0.02
"""While something moves: one servo frame."""


class MaestroLids:
    """One Maestro. Raises `ConfigError` at once for a wrong port or a lid without calibration; opens the port in `session`."""

    def __init__(
        self,
        settings: ControllerSettings,
        lids: Sequence[LidSettings],
        calibration: Mapping[int, CalibrationSettings],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_url(settings.port)
        self._settings = settings
        self._calibration = {lid.lid: _calibrated(lid.lid, calibration) for lid in lids}
        self._clock = clock
        self._changed = threading.Condition()
        self._stop_waiting = threading.Event()
        self._ledger = Ledger()
        self._reports: deque[LidReport] = deque()
        maestro = settings.maestro
        servos = [servo(n, maestro.channels[n - 1], x) for n, x in self._calibration.items()]
        self._core = MaestroCore(servos, self._ledger, capabilities(maestro.stop_channel))
        self._session: MaestroSession | None = None
        self._broken: DeviceError | None = None
        self._hello: ControllerInfo | None = None
        self._line_errors: dict[str, int] = {}
        self._log = structlog.get_logger().bind(port=settings.port)
        self._state = self._unknown()
        self._details = {n: self._detail(n) for n in self._calibration}

    @property
    def state(self) -> LidsState:
        """All lids as far as their pulses tell; returns at once."""
        return self._state

    @property
    def hello(self) -> ControllerInfo | None:
        """What answers, and how little it can; None before the first proof."""
        return self._hello

    @property
    def telemetry(self) -> None:
        """A Maestro measures nothing."""

    @property
    def line_errors(self) -> dict[str, int]:
        """Errors that the Maestro reported since the port was opened, by name."""
        return self._line_errors

    @property
    def details(self) -> dict[int, LidDetail]:
        """The pulses that are sent and those that the config names; a Maestro measures nothing."""
        return self._details

    def poll(self) -> Sequence[LidReport]:
        """Reports since the last call, oldest first; returns at once."""
        return [self._reports.popleft() for _ in range(len(self._reports))]

    def open(self, command: LidCommand) -> None:
        """Take one command; returns when it waits for its turn or was refused. Never raises; `poll` reports."""
        with self._changed:
            self._ledger.begin(command, self._clock())
            if self._session:
                self._core.ask_open(command, self._clock())
            else:
                self._ledger.ended(command.action_id, Outcome.NO_REPLY, "NOT_CONNECTED")
            self._act()

    def signal(self, signal: Signal) -> None:
        """A Maestro has no lamp."""

    def close(self, lid: int) -> bool:
        """Shut one lid now; any thread. True when the Maestro was told and reports no error."""
        with self._changed:
            taken = self._session is not None and self._core.ask_close(lid, self._clock())
            return self._act() and taken

    def stop(self, *, latch: bool = False) -> bool:
        """Take the pulses of every motion away now; any thread. With ``latch`` nothing moves until `clear_stop`."""
        with self._changed:
            if self._session:
                self._core.halt(self._clock(), "STOPPED", latch=latch)
            return self._act()

    def clear_stop(self) -> bool:
        """Clear a latched stop and latched faults; moves nothing. False while the stop switch is pressed."""
        with self._changed:
            cleared = self._session is not None and self._core.clear(self._clock())
            self._publish()
            return cleared

    def close_all(self, timeout_s: float) -> bool:
        """Shut what is open and wait for its pulse, at most ``timeout_s``; True when all pulses say shut. For shutdown: a proof
        under way is given up, so that the worker can end.
        """
        self._stop_waiting.set()
        return shut_and_wait(self, self._changed, timeout_s, self._clock)

    @contextmanager
    def session(self) -> Iterator[Callable[[], None]]:
        """Open the port, prove the dead-man, yield one step; for one `Worker`. Both raise `DeviceError`."""
        maestro = self._settings.maestro
        with opened(self._settings.port, self._settings.baud) as port:
            line = MaestroLine(port, self._settings.port, Dialect(maestro.device, maestro.crc))
            prove(line, list(self._core.servos.values()), maestro.timeout_s, clock=self._clock, wait=self._wait)
            self._begin(line)
            try:
                yield self._step
            finally:
                self._end()

    def _wait(self, seconds: float) -> None:
        if self._stop_waiting.wait(seconds):
            raise DeviceError(f"{self._settings.port}: not proved, for the daemon ends", hint="start the daemon again")

    def _begin(self, line: MaestroLine) -> None:
        with self._changed:
            stop_channel = self._settings.maestro.stop_channel
            self._session = MaestroSession(line, self._core, stop_channel, clock=self._clock)
            self._broken = None
            self._hello = self._info()
            self._publish()
        self._log.info(
            "Maestro connected: its serial time-out shuts the lids", timeout_s=self._settings.maestro.timeout_s
        )

    def _end(self) -> None:
        with self._changed:
            if self._session:
                self._session.farewell()
            self._session = None
            self._ledger.interrupt("LINK_LOST")
            self._publish()

    def _step(self) -> None:
        with self._changed:
            if self._session is None:
                raise DeviceError(
                    f"{self._settings.port}: used outside its session", hint="use the step inside `with session()`"
                )
            self._changed.wait(REST_TURN_S if self._core.at_rest else MOVING_TURN_S)
            self._act()
            if self._broken:
                raise self._broken

    def _act(self) -> bool:
        """One turn; True when the Maestro answered and reports no error. A broken port is the worker's to raise. Mutex held."""
        try:
            return self._session is not None and self._broken is None and self._session.turn()
        except DeviceError as error:
            self._broken = error
            return False
        finally:
            self._ledger.expire(self._clock())
            self._publish()

    def _info(self) -> ControllerInfo:
        maestro = self._settings.maestro
        return ControllerInfo(
            firmware="Pololu Maestro",
            git="",
            board=0,
            uid="",
            protocol="compact" if maestro.device is None else f"pololu, device {maestro.device}",
            lids=len(self._calibration),
            reset_cause="unknown",
            last_action_id=None,
            capabilities=capabilities(maestro.stop_channel),
        )

    def _publish(self) -> None:
        self._state = self._core.state if self._session else self._unknown()
        self._details = {n: self._detail(n) for n in self._calibration}
        if self._session:
            self._line_errors = dict(self._session.line.counts)
        self._reports.extend(self._ledger.take())
        self._changed.notify_all()

    def _unknown(self) -> LidsState:
        """Nobody knows any more; a latched stop stays latched."""
        known = self._core.state
        lids = {n: LidState(n, LidPosition.UNKNOWN, None, x.closed_t_s) for n, x in known.lids.items()}
        return replace(known, connected=False, lids=lids)

    def _detail(self, lid: int) -> LidDetail:
        known = lid_detail(None, self._calibration[lid], "the config; a Maestro stores none")
        row = self._core.servos[lid] if self._session else None
        return replace(
            known,
            jam_ma=None,
            phase=row.phase.value if row else None,
            pulse_us=row.seen // QUARTERS if row and row.seen != OFF else None,
        )


def _calibrated(lid: int, calibration: Mapping[int, CalibrationSettings]) -> CalibrationSettings:
    if lid not in calibration:
        raise ConfigError(
            f"lid {lid} has no calibration: a Maestro stores none",
            hint=f"write a table [calibration.{lid}] with open_us and closed_us",
        )
    return calibration[lid]
