"""Calibration of one lid: jog its servo to both ends, try the way between them, store what was found. No terminal in here.

The controller is the safe end: it jogs only while all other lids are at rest, at its slew limit, under stall and pinch watch,
and ends calibration by itself for a stall, a pinch, the stop switch, its own restart, 2 s without us, or 30 s without an order.
Then it shuts the lid. So this end assumes nothing: every report says whether calibration still runs, and `begin` enters it again
where the lid stands.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from bin_daemon.errors import DeviceError
from bin_daemon.technician.calibrate_state import ENDINGS, Ending, Hindrance, Reading, Travel, hindrance
from bin_daemon.technician.calibrate_talk import PUMP_S, CalibrationTalk, answer_name
from bin_daemon.technician.calibrate_watch import LidWatch
from firmware_protocol import limits as lim
from firmware_protocol.messages import (
    ABSENT,
    Calibrate,
    Calibration,
    Code,
    Command,
    Jog,
    LidPhase,
    StopClear,
)
from firmware_protocol.session import Answered

if TYPE_CHECKING:
    from collections.abc import Callable

    from bin_daemon.technician.link import Link
    from firmware_protocol.messages import HelloAck

AHEAD_MAX_US = 50
KEEP_S = 10.0
"""Calibration is kept alive this often, well within CALIBRATING_MS, while somebody touches keys."""
PATIENCE_S = 300.0
"""Nobody touched a key for so long: nobody is there. The controller then ends calibration and shuts the lid."""
REST_S = 20.0
"""For lids on their way to come to rest: a hold of 10 s and two travels."""
SHUT_S = 14.0
"""For our lid to be shut at the end: three attempts, each with a travel and 2 s of waiting."""
SETTLE_S = 0.15
"""After its pulse has arrived a servo needs this long to follow."""


class LidCalibration:
    """Lid ``lid``, from 1, of the controller at ``link``'s other end, to which `hello` has been said.

    ``draft`` holds the values so far; it begins as ``stored``, what the controller has. Methods that talk raise `DeviceError`
    when the port breaks; what the controller does meanwhile shows in ``active`` and ``ending``.
    """

    def __init__(self, link: Link, ack: HelloAck, lid: int, *, clock: Callable[[], float]) -> None:
        if not 1 <= lid <= ack.lids:
            raise DeviceError(
                f"there is no lid {lid}: this controller has {ack.lids}", hint=f"name a lid from 1 to {ack.lids}"
            )
        self.lid, self.ack = lid, ack
        self._link, self._clock = link, clock
        self._watch = LidWatch(lid, clock)
        self._kept_t_s = self._touched_t_s = clock()
        self.on_run: Callable[[], None] = lambda: None
        """Called whenever time has passed: for whoever shows the readings."""
        self._closed_found = False
        self.target_us = 0
        """The last pulse ordered."""
        self._talk = CalibrationTalk(link, self._watch, clock)
        self._talk.greet()
        self.stored = self._talk.calibration()
        self.draft = self.stored
        self.opens_by = 1 if self.stored.open_us > self.stored.closed_us else -1
        """+1: a longer pulse opens; -1: this servo is mounted the other way round."""

    # ---- what is seen -----------------------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """The controller calibrates this lid now."""
        return self._watch.active

    @property
    def ending(self) -> Ending | None:
        """Why it does not any more."""
        return self._watch.ending

    @property
    def reading(self) -> Reading:
        """The lid at its last report."""
        reading = self._watch.reading
        return reading or Reading(ABSENT.state, None, None, None, None, pinched=False, vin_mv=None, vservo_mv=None)

    @property
    def place_us(self) -> int:
        """Where the lid stands, as far as anybody knows: the last pulse sent, or the pulse at which it is kept shut."""
        return self.stored.closed_us if self._watch.place_us is None else self._watch.place_us

    @property
    def start_us(self) -> int:
        """Where to begin: a shut lid at the pulse that was found for it, else where the lid stands."""
        return self.draft.closed_us if self._closed_found and self.reading.shut else self.place_us

    def hindrance(self) -> Hindrance | None:
        """What keeps calibration from beginning now."""
        phases = {n: phase for n, phase in self._watch.phases.items() if n <= self.ack.lids}
        return hindrance(self._watch.telemetry, phases, self.lid)

    def run(self, for_s: float = PUMP_S) -> None:
        """Let time pass; keeps the session alive, and calibration while somebody is there."""
        end = self._clock() + for_s
        while (now := self._clock()) < end:
            if self.active and now - self._kept_t_s >= KEEP_S and now - self._touched_t_s < PATIENCE_S:
                self._kept_t_s = now
                self._ask_softly(Calibrate(1))
            self._link.pump(min(end - now, 1.0))
            if self._clock() - self._watch.heard_t_s > lim.HOST_SILENCE_MS / 1000:
                self._watch.over(ENDINGS["silent"])
            self.on_run()

    def touch(self) -> None:
        """A person did something: somebody is there."""
        self._touched_t_s = self._clock()

    # ---- the way in and out -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Enter calibration, the first time or again. Nothing moves. Raises `DeviceError` with what stands in the way."""
        self._talk.meet()
        if found := self.hindrance():
            raise DeviceError(found.text, hint=found.hint)
        answer = self._link.ask(Calibrate(1))
        if not answer.accepted:
            raise DeviceError(
                f"the controller refuses to calibrate ({answer_name(answer)})", hint="shut all lids first"
            )
        self._kept_t_s = self._touched_t_s = self._clock()
        self._watch.begin()
        self._talk.fresh()
        self.target_us = self.place_us  # an order of before it was ended must not come back

    def wait_for_rest(self, tell: Callable[[Hindrance], None], for_s: float = REST_S) -> Hindrance | None:
        """Wait while lids are on their way; returns what stands in the way then, if anything. ``tell`` is called at most once."""
        self._talk.meet()
        self._talk.fresh()
        end, told = self._clock() + for_s, False
        while (found := self.hindrance()) and found.passes and self._clock() < end:
            if not told:
                tell(found)
                told = True
            self.run(0.05)
        return found

    def clear(self) -> bool:
        """Clear a latched stop and latched faults; moves nothing. False while the stop switch is pressed."""
        self._talk.meet()
        accepted = self._link.ask(StopClear()).accepted
        self._talk.fresh()
        return accepted

    def end(self) -> bool:
        """Leave calibration; the controller shuts the lid. True when it is known to be shut."""
        if self.active:
            if self.reading.pulse_us is not None:
                with contextlib.suppress(DeviceError):
                    self.travel(self.draft.closed_us, opening=False)  # down at the pulse that was found
            self._watch.over(ENDINGS["left"])
            self._ask_softly(Calibrate(0))
        self._talk.meet()
        self._talk.fresh()
        end, stays = self._clock() + SHUT_S, (LidPhase.CLOSED, LidPhase.FAULT, LidPhase.HALTED)
        while self._watch.phases[self.lid] not in stays and self._clock() < end:
            self.run(0.05)
        return self._watch.phases[self.lid] == LidPhase.CLOSED

    # ---- jogging ----------------------------------------------------------------------------------------------------

    def jog(self, pulse_us: int) -> str:
        """Order a pulse, within the device's bounds; the lid follows at its slew limit. Returns "" or what to tell a person."""
        target_us = min(max(pulse_us, lim.PULSE_MIN_US), lim.PULSE_MAX_US)
        if not self.active:
            return self.ending.text if self.ending else "Calibration has not begun."
        self._watch.begin_motion()
        answer = self._ask_softly(Jog(self.lid - 1, target_us))
        if answer and answer.accepted:
            self._kept_t_s = self._clock()
            self.target_us = target_us
            return "" if target_us == pulse_us else f"{target_us} us is as far as the controller goes."
        if answer and answer.code == Code.LOW_VOLTAGE:
            return "The supply is too low, the lid does not move. Check battery and power supply."
        self._watch.over()
        return self.ending.text if self.ending else ""

    def step(self, by_us: int) -> str:
        """Jog by so much from the last order; positive opens. Nothing while the lid is more than `AHEAD_MAX_US` behind its order:
        a key held down must not send it on after it was let go.
        """
        pulse_us = self.reading.pulse_us
        if self.active and pulse_us is not None and abs(self.target_us - pulse_us) > AHEAD_MAX_US:
            return ""
        return self.jog(self.target_us + by_us * self.opens_by)

    def arrive(self, for_s: float = 3.0) -> Reading:
        """Wait until the pulse ordered is sent and the servo had time to follow, or calibration is over."""
        end = self._clock() + for_s
        while self.active and self.reading.pulse_us != self.target_us and self._clock() < end:
            self.run()
        if self.active:
            self.run(SETTLE_S)
        return self.reading

    def travel(self, pulse_us: int, *, opening: bool) -> Travel:
        """Go there in one motion at the device's own speed, and measure."""
        steps = abs(pulse_us - self.place_us) / self.stored.speed_us_per_20ms + 1
        end = self._clock() + (steps * lim.STEP_MS + lim.TRAVEL_SLACK_MS) / 1000
        if self.jog(pulse_us):
            return self._way(arrived=False)
        stood_s: float | None = None
        while self.active and self._clock() < end:
            self.run()
            reading, now = self.reading, self._clock()
            if stood_s is None and reading.pulse_us == pulse_us:
                stood_s = now
            if reading.has_switches and reading.stands(opening=opening):
                lag_ms = 0 if stood_s is None else round(1000 * (now - stood_s))
                self._settle(pulse_us, end)
                return self._way(arrived=True, lag_ms=lag_ms)
            if not reading.has_switches and stood_s is not None and now - stood_s > lim.SETTLE_MS / 1000:
                break
        return self._way(arrived=self.active and not self.reading.has_switches)

    def _way(self, *, arrived: bool, lag_ms: int | None = None) -> Travel:
        return Travel(arrived, lag_ms, self._watch.lasting_ma, self.reading)

    def _settle(self, pulse_us: int, end_s: float) -> None:
        """The switch closes a little before the pulse is there."""
        while self.active and self.reading.pulse_us != pulse_us and self._clock() < end_s:
            self.run()

    # ---- what was found ---------------------------------------------------------------------------------------------

    def mark_open(self) -> int:
        """The lid is open as it stands; returns that pulse."""
        self._mark(replace(self.draft, open_us=self._here_us()))
        return self.draft.open_us

    def mark_closed(self) -> int:
        """The lid is shut as it stands; returns that pulse."""
        self._mark(replace(self.draft, closed_us=self._here_us()))
        self._closed_found = True
        return self.draft.closed_us

    def turn_round(self) -> None:
        """This servo is mounted the other way round: open and shut change places in the draft."""
        self._mark(replace(self.draft, open_us=self.draft.closed_us, closed_us=self.draft.open_us))

    def _here_us(self) -> int:
        return self.target_us if self.active and self.reading.pulse_us is not None else self.place_us

    def _mark(self, draft: Calibration) -> None:
        self.draft = draft
        if abs(draft.open_us - draft.closed_us) >= lim.CAL_TRAVEL_MIN_US:
            self.opens_by = 1 if draft.open_us > draft.closed_us else -1

    def store(self) -> Calibration:
        """Store the draft in the controller, wait until it says so, read it back. Raises `DeviceError` when anything is amiss."""
        self._talk.meet()
        self.stored = self._talk.store(self.draft)
        return self.stored

    def _ask_softly(self, command: Command) -> Answered | None:
        """An answer, or None when the line has failed: calibration is over then."""
        try:
            return self._link.ask(command)
        except DeviceError:
            self._watch.over(ENDINGS["lost"])
            return None
