"""Questions to the controller about one lid, each asked until it is answered or there is nobody who answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bin_daemon.errors import DeviceError
from bin_daemon.technician.calibrate_watch import REPORT_S, LidWatch
from firmware_protocol import limits as lim
from firmware_protocol.messages import Calibration, Code, GetCal, SetCal, SetTelemetry

if TYPE_CHECKING:
    from collections.abc import Callable

    from bin_daemon.technician.link import Link
    from firmware_protocol.session import Answered

PUMP_S = 0.02
FRESH_S = 0.3
"""A reading older than this means that the session was lost."""
SAVED_S = 3.0
TELL_TRIES = 5
"""Of asking for the stored values, on a noisy line."""
REST_S = 20.0
"""For our lid on its way to come to rest."""
STORE_AGAIN = "store again; if that fails too, the board's memory is worn out: replace the board"


class CalibrationTalk:
    """Speaks for one `LidWatch`, which hears everything on ``link``. All methods raise `DeviceError`."""

    def __init__(self, link: Link, watch: LidWatch, clock: Callable[[], float]) -> None:
        self._link, self._watch, self._clock = link, watch, clock
        link.on_event = watch.hear

    def meet(self) -> None:
        """Shake hands anew when the session was lost."""
        if self._clock() - self._watch.heard_t_s > FRESH_S:
            self._link.pump(PUMP_S)
        if self._clock() - self._watch.heard_t_s > FRESH_S:
            self._link.hello()
            self.greet()

    def greet(self) -> None:
        """In a new session: ask for reports as often as there are any."""
        self._watch.forget()
        self._link.ask(SetTelemetry(round(1000 * REPORT_S)))
        self.fresh()

    def fresh(self) -> None:
        """Wait for a report that is newer than this call."""
        asked = self._clock()
        while self._watch.reading is None or self._watch.heard_t_s <= asked:
            self._link.pump(PUMP_S)
            if self._clock() - asked > lim.HOST_SILENCE_MS / 1000:
                raise DeviceError(
                    "the controller reports nothing", hint="switch the controller off and on, then try again"
                )

    def calibration(self) -> Calibration:
        """What it has stored. The values follow the answer in a frame of their own, which nobody repeats."""
        for _ in range(TELL_TRIES):
            self._watch.expect_calibration()
            self._link.ask(GetCal(self._watch.lid - 1))
            end = self._clock() + FRESH_S
            while self._watch.calibration is None and self._clock() < end:
                self._link.pump(PUMP_S)
            if self._watch.calibration:
                return self._watch.calibration
        raise DeviceError("the controller does not tell its calibration", hint="check the cable, then try again")

    def store(self, wanted: Calibration) -> Calibration:
        """SET_CAL when the lid is at rest, CAL_SAVED awaited, GET_CAL read back and compared."""
        self._watch.expect_saved()
        wish = SetCal(wanted.lid, wanted.open_us, wanted.closed_us, wanted.speed_us_per_20ms, wanted.jam_ma)
        end = self._clock() + REST_S
        while (answer := self._link.ask(wish)).code == Code.BUSY and self._clock() < end:
            self._link.pump(0.2)
        if not answer.accepted:
            raise DeviceError(
                f"the controller refuses these values ({answer_name(answer)})",
                hint=f"open and shut must lie {lim.CAL_TRAVEL_MIN_US} us apart, and the lid must be at rest",
            )
        self._await_saved()
        stored = self.calibration()
        if stored != wanted:
            raise DeviceError(f"the controller has stored: {words(stored)}; not: {words(wanted)}", hint=STORE_AGAIN)
        return stored

    def _await_saved(self) -> None:
        end = self._clock() + SAVED_S
        while not self._watch.saved:
            self._link.pump(PUMP_S)
            if self._clock() >= end:
                raise DeviceError("the controller does not say that it has stored the values", hint=STORE_AGAIN)


def words(cal: Calibration) -> str:
    """A calibration in one line."""
    jam = f"jam limit {cal.jam_ma} mA" if cal.jam_ma else "jams not watched"
    return f"open {cal.open_us} us, shut {cal.closed_us} us, speed {cal.speed_us_per_20ms} us per 20 ms, {jam}"


def answer_name(answer: Answered) -> str:
    """The RESULT's name; a newer controller's unknown code as its number."""
    return answer.code.name if isinstance(answer.code, Code) else f"code {answer.code}"
