"""What the controller says of one lid while it is calibrated. Pure: told what was heard and when."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bin_daemon.technician.calibrate_state import ENDED_SILENTLY, ENDINGS, Ending, Reading, reading_of
from firmware_protocol import limits as lim
from firmware_protocol.messages import Calibration, ControllerState, EventKind, Telemetry, TelemetryMore
from firmware_protocol.session import Calibrated, Happened, Lost, Rebooted, Reported, SessionEvent

if TYPE_CHECKING:
    from collections.abc import Callable

REPORT_S = 0.05
"""Between two reports while a lid is jogged."""


class LidWatch:
    """Lid ``lid``, from 1. ``active`` is set by whoever entered calibration, and falls when the controller has ended it."""

    def __init__(self, lid: int, clock: Callable[[], float]) -> None:
        self.lid = lid
        self.active = False
        self.ending: Ending | None = None
        """Why calibration is over, once it was begun."""
        self.telemetry: Telemetry | None = None
        self.phases: dict[int, int] = {}
        """`LidPhase` by lid, from 1."""
        self.heard_t_s = clock()
        """When the last reading came."""
        self.place_us: int | None = None
        """The last pulse that the controller said it sends: where the lid stands. None after its restart."""
        self.saved = False
        """CAL_SAVED came since this was last set to False."""
        self.calibration: Calibration | None = None
        """The last answer to GET_CAL: what the controller judges by."""
        self._clock = clock
        self._cause: Ending | None = None
        self._reading: Reading | None = None
        self._peak_ma: int | None = None
        self._before_ma: int | None = None
        self._began_t_s = clock()
        self.lasting_ma: int | None = None
        """The highest current that lasted from one report to the next, since `begin_motion` but for its inrush: the controller
        counts neither inrush nor peaks shorter than 80 ms.
        """

    @property
    def reading(self) -> Reading | None:
        """The last report of the lid, with the highest current since `begin_motion`; None before the first."""
        return self._reading and replace(self._reading, peak_ma=self._peak_ma)

    def begin(self) -> None:
        """Calibration runs from now on; what was heard before does not count."""
        self.active, self.ending, self._cause = True, None, None

    def begin_motion(self) -> None:
        """Peaks count from here."""
        self._peak_ma = self._before_ma = self.lasting_ma = None
        self._began_t_s = self._clock()

    def forget(self) -> None:
        """What was reported before the session was opened anew is old."""
        self._reading = self.telemetry = None

    def expect_saved(self) -> None:
        """CAL_SAVED is to come; one that came before does not count."""
        self.saved = False

    def expect_calibration(self) -> None:
        """The values of GET_CAL are to come."""
        self.calibration = None

    def over(self, ending: Ending | None = None) -> None:
        """Calibration is over; without ``ending`` for what was heard last."""
        if self.active:
            self.active = False
            self.ending = ending or self._cause or ENDED_SILENTLY

    def hear(self, event: SessionEvent) -> None:
        """Take one event of the session."""
        if isinstance(event, Reported):
            self._reported(event.message)
        elif isinstance(event, Calibrated) and event.calibration.lid == self.lid - 1:
            self.calibration = event.calibration
        elif isinstance(event, Happened):
            self._happened(event.event.kind, event.event.lid)
        elif isinstance(event, Rebooted):
            self._restarted()
        elif isinstance(event, Lost):
            self.over(self._cause or ENDINGS["lost"])

    def _restarted(self) -> None:
        self.place_us = None
        self._cause = ENDINGS["restarted"]
        self.over()

    def _happened(self, kind: int, lid: int) -> None:
        mine = lid == self.lid - 1
        if kind == EventKind.CAL_SAVED and mine:
            self.saved = True
        elif kind == EventKind.STOP_PRESSED:
            self._cause = ENDINGS["stop"]
        elif kind == EventKind.JAM and mine:
            self._cause = ENDINGS[self._held()]
        if self.ending is ENDED_SILENTLY and self._cause:
            self.ending = self._cause  # the event was lost at first, and the report overtook it

    def _note_current(self, now_ma: int) -> None:
        self._peak_ma = max(self._peak_ma or 0, now_ma)
        if self._clock() - self._began_t_s < lim.INRUSH_MS / 1000:
            return
        if self._before_ma is not None:
            self.lasting_ma = max(self.lasting_ma or 0, min(self._before_ma, now_ma))
        self._before_ma = now_ma

    def _held(self) -> str:
        """The controller says JAM for a stall and for a pinch alike. A stall lasts 80 ms: its current was reported, unless
        reports were lost; a pinch is acted upon at once.
        """
        if self._reading is None or self._clock() - self.heard_t_s > 2 * REPORT_S:
            return "held"
        seen_ma = max(self._peak_ma or 0, self._reading.current_ma or 0)
        jam_ma = self.calibration.jam_ma if self.calibration else 0
        return "stall" if 0 < jam_ma < seen_ma and not self._reading.pinched else "pinch"

    def _reported(self, message: Telemetry | TelemetryMore) -> None:
        first = 0
        if isinstance(message, TelemetryMore):
            first = message.first_lid
        else:
            if self.telemetry and message.uptime_ms < self.telemetry.uptime_ms:
                self._restarted()  # its BOOT was lost
            self.telemetry = message
        self.phases |= {number: slot.state for number, slot in enumerate(message.slots, first + 1)}
        if first < self.lid <= first + len(message.slots) and self.telemetry:
            self._read(reading_of(message, self.telemetry, self.lid - 1 - first))

    def _read(self, reading: Reading) -> None:
        self._reading, self.heard_t_s = reading, self._clock()
        if reading.pulse_us is not None:
            self.place_us = reading.pulse_us
        if reading.current_ma is not None:
            self._note_current(reading.current_ma)
        if self.telemetry and self.telemetry.state != ControllerState.CALIBRATING:
            self.over()
