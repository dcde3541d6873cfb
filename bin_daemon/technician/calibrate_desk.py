"""What a person can ask for while a lid is calibrated, each answered in plain sentences; for a screen and for a script alike."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from bin_daemon.config import CalibrationSettings
from bin_daemon.errors import ConfigError, DeviceError
from bin_daemon.lids.calibration import values_of
from bin_daemon.technician.calibrate_auto import calibrate_by_itself
from bin_daemon.technician.calibrate_start import start
from bin_daemon.technician.calibrate_steps import Steps
from bin_daemon.technician.calibrate_talk import words
from bin_daemon.technician.calibration_file import calibration_file, overridden, remember, why_not_writable
from firmware_protocol import limits as lim

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bin_daemon.technician.calibrate import LidCalibration
    from bin_daemon.technician.calibrate_state import Hindrance, Travel

SPEED_MAX = 255


class Desk:
    """One calibration and the file that remembers it. ``say`` tells sentences while something runs, ``confirm`` asks.

    Methods return "" or one sentence of what came of it. Raises `DeviceError` with what to mend; calibration may go on then.
    """

    def __init__(
        self,
        cal: LidCalibration,
        main: Path | None,
        say: Callable[[str], None],
        confirm: Callable[[str], bool],
    ) -> None:
        self.cal = cal
        self.before = cal.stored
        """What the controller had at the start."""
        self.stored = False
        self.say = say
        self._main = main
        self._confirm = confirm

    def notes(self, wanted: CalibrationSettings | None) -> list[str]:
        """What to know before: what is stored where, and whether the file can be written. ``wanted``: the config's values."""
        told = [f"The controller has: {words(self.cal.stored)}."]
        if wanted and values_of(wanted) != values_of(self.cal.stored):
            told.append(f"The config differs: open {wanted.open_us} us, shut {wanted.closed_us} us.")
        try:
            why = why_not_writable(calibration_file(self._main))
        except ConfigError as error:
            why = f"{error}; {error.hint}"
        if why:
            told.append(f"Only the controller will remember what you store: {why}.")
        return told

    def table(self) -> list[tuple[str, str, str]]:
        """Name, old and new of each value."""
        old, new = self.before, self.cal.draft
        return [
            (name, f"{getattr(old, key)} {unit}", f"{getattr(new, key)} {unit}")
            for name, key, unit in (
                ("open", "open_us", "us"),
                ("shut", "closed_us", "us"),
                ("speed", "speed_us_per_20ms", "us per 20 ms"),
                ("jam limit", "jam_ma", "mA"),
            )
        ]

    # ---- in and out -------------------------------------------------------------------------------------------------

    def begin(self) -> str:
        """Enter calibration, or again after it ended, and give the servo its signal where the lid stands."""
        if found := self.cal.wait_for_rest(lambda x: self.say(x.text)):
            raise _hindered(found)
        self.cal.begin()
        start(Steps(self.cal, self.say), self._confirm)
        return "Calibration runs. The controller shuts the lid whenever this program ends."

    def clear(self) -> str:
        """Clear a stop or a fault."""
        return (
            "Cleared. Nothing has moved." if self.cal.clear() else "The stop switch is still pressed: release it first."
        )

    def end(self) -> str:
        """Out, with the lid shut."""
        if self.cal.end():
            return f"Lid {self.cal.lid} is shut."
        found = self.cal.hindrance()
        why = f" {found.text}" if found else ""
        return f"Lid {self.cal.lid} is NOT known to be shut: look at it.{why}"

    # ---- values -----------------------------------------------------------------------------------------------------

    def mark_open(self) -> str:
        """This is open."""
        return f"Open is {self.cal.mark_open()} us.{self._too_near()}"

    def mark_closed(self) -> str:
        """This is shut."""
        return f"Shut is {self.cal.mark_closed()} us.{self._too_near()}"

    def turn_round(self) -> str:
        """The servo is mounted the other way round."""
        self.cal.turn_round()
        draft = self.cal.draft
        return f"Other way round: open {draft.open_us} us, shut {draft.closed_us} us. Store this, or the lid shuts the wrong way."

    def set_speed(self, speed: int) -> str:
        """The slew limit."""
        self.cal.draft = replace(self.cal.draft, speed_us_per_20ms=min(max(speed, 1), SPEED_MAX))
        speed = self.cal.draft.speed_us_per_20ms
        travel_s = abs(self.cal.draft.open_us - self.cal.draft.closed_us) / speed * lim.STEP_MS / 1000
        return f"Speed {speed}: {travel_s:.1f} s from end to end, once it is stored."

    def set_jam(self, jam_ma: int) -> str:
        """The stall current."""
        self.cal.draft = replace(self.cal.draft, jam_ma=min(max(jam_ma, 0), lim.JAM_MAX_MA))
        jam_ma = self.cal.draft.jam_ma
        return (
            f"Jam limit {jam_ma} mA, once it is stored." if jam_ma else "Jams will not be watched, once that is stored."
        )

    def _too_near(self) -> str:
        draft = self.cal.draft
        if abs(draft.open_us - draft.closed_us) >= lim.CAL_TRAVEL_MIN_US:
            return ""
        return f" Open and shut are less than {lim.CAL_TRAVEL_MIN_US} us apart: mark the other end too."

    # ---- longer work ------------------------------------------------------------------------------------------------

    def try_out(self) -> str:
        """To open and back to shut, at the controller's present speed."""
        cal, draft = self.cal, self.cal.draft
        if why_not := self._too_near():
            return why_not.strip()
        if not cal.active:
            self.begin()
        told: list[str] = []
        for opening, pulse_us in ((True, draft.open_us), (False, draft.closed_us)):
            cal.touch()
            way = cal.travel(pulse_us, opening=opening)
            if not cal.active:
                return f"Going {'up' if opening else 'down'}: {cal.ending.text if cal.ending else 'it was ended.'}"
            told.append(_tell_way(way, opening=opening))
        return " ".join(told)

    def auto(self) -> str:
        """Find both ends and propose all values."""
        if not self.cal.active:
            self.begin()
        proposal = calibrate_by_itself(self.cal, self.say)
        for sentence in (*proposal.reasons, *proposal.warnings):
            self.say(sentence)
        return "Found. Nothing is stored yet."

    def store(self) -> str:
        """In the controller first, then in the file."""
        if told := self._too_near():
            return told.strip()
        before = self.cal.stored
        stored = self.cal.store()
        self.stored = True
        self.say(f"The controller has stored: {words(stored)}.")
        values = CalibrationSettings(
            **values_of(stored),
            uid=self.cal.ack.uid.hex(),
            measured=datetime.now(timezone.utc).date().isoformat(),
        )
        try:
            file = calibration_file(self._main)
            remember(file, self.cal.lid, values, before)
            if self._main and (place := overridden(self._main, self.cal.lid, values)):
                return f"Written to {file}, but {place} has the last word: take those values out."
        except ConfigError as error:
            return f"NOT written to a file: {error}. Mend: {error.hint}."
        return f"Stored, and written to {file}."


def _tell_way(way: Travel, *, opening: bool) -> str:
    name = "open" if opening else "shut"
    current = "" if way.reading.peak_ma is None else f", highest current {way.reading.peak_ma} mA"
    if not way.reading.has_switches:
        return f"At {name}: there is no switch{current}."
    if not way.arrived:
        return f"The {name} switch did NOT close{current}: go a little further and mark {name} again."
    late = "" if not way.lag_ms else f" {way.lag_ms} ms after its pulse"
    return f"The {name} switch closed{late}{current}."


def _hindered(found: Hindrance) -> DeviceError:
    return DeviceError(found.text, hint=found.hint)
